"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("script");
  const button = document.getElementById("theme");
  const preferred = matchMedia("(prefers-color-scheme: dark)");
  const dark = () => (root.dataset.theme ? root.dataset.theme === "dark" : preferred.matches);
  const name = () => { button.textContent = dark() ? "Light page" : "Dark page"; };
  button.hidden = false;
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    name();
  });
  preferred.addEventListener("change", name);
  name();
  for (const slider of document.querySelectorAll(".slide input")) {
    const pair = document.getElementById(slider.dataset.pair);
    const move = () => {
      pair.style.setProperty("--cut", slider.value + "%");
      slider.setAttribute("aria-valuetext", slider.value + " percent of the original");
    };
    slider.addEventListener("input", move);
    move();
  }
  // What is closed would be missing on paper.
  const closed = () => document.querySelectorAll("details:not([open])");
  addEventListener("beforeprint", () => { for (const part of closed()) part.open = true; });
})();
