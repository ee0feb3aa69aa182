"""The command gradcheck: exit codes, the document, and targets that misbehave."""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path

import numpy as np
import pytest
from contract.desk import ask
from oracle import bncli, tree
from PIL import Image

from bncli.checking import faults, self_test
from bncli.checking.planting import Fault

TARGETS = Path(__file__).parent.parent / "checking" / "targets"
TROUBLED = TARGETS / "troubled.py"
PUBLISHED = f"{TARGETS / 'published.py'}:BatchNormalization"


def strict(text):
    """Strict JSON: no NaN, no Infinity."""

    def refuse(constant):
        raise AssertionError(constant)

    return json.loads(text, parse_constant=refuse)


def test_own_layer_is_right():
    """Without a target, bncli's own layer is checked, and passes; the verdict comes first."""
    ran = bncli("gradcheck")

    assert ran.code == 0
    assert ran.err == ""
    verdict, checked = ran.out.splitlines()
    assert verdict == "PASS: the backward is right"
    assert checked.split()[:4] == ["checked", "grad_input,", "grad_gamma,", "grad_beta:"]
    assert "\x1b" not in ran.out


def test_published_backward_fails_and_is_explained():
    """Exit 1; verdict, gradients, cause, formula and command on stdout, in that order."""
    ran = bncli("gradcheck", PUBLISHED)

    assert ran.code == 1
    assert ran.err == ""
    assert "w*h*c was used where batch belongs" in ran.out
    lines = ran.out.splitlines()
    assert lines[0] == "FAIL: grad_input is wrong"
    assert "WRONG: 120 of 120 elements" in lines[1]
    assert [line.split()[0] for line in lines[1:]] == [
        "grad_input", "grad_gamma", "grad_beta", "because", "-", "+", "again:",
    ]  # fmt: skip
    assert "1/P*mean(delta) - B/P*x_norm*mean(delta*x_norm)" in lines[5]
    assert lines[-1] == f"again: bncli gradcheck {PUBLISHED} --seed 0"


def test_all_else_is_told_with_verbose():
    """Question, protocol, the worst element, coefficients, properties; the rest stays as it is."""
    short, long = bncli("gradcheck", PUBLISHED), bncli("gradcheck", PUBLISHED, "-v")

    for said in ("5x3x4x2", "worst at (b, x, y, k)", "does not hold: sum",
                 "(1, 0.0416667, 0.208333) = (1, 1/P, B/P)"):  # fmt: skip
        assert said in long.out
        assert said not in short.out
    assert long.out.splitlines()[0] == short.out.splitlines()[0]
    assert long.out.splitlines()[-1] == short.out.splitlines()[-1]


def test_the_command_says_all_that_was_asked():
    """Every option that is not as usual, and always the seed; not where results are drawn."""
    asked = [
        "--limit", "9", "--dtype", "float32", "--seed", "3", "--only", "grad_input,grad_beta",
        "--tolerance", "0.01", "--timeout", "9.0", "--layout", "image", "--argument", "a b=[1, 2]",
    ]  # fmt: skip
    ran = bncli("gradcheck", PUBLISHED, "--images", "nowhere", *asked)
    assert ran.code == 4
    ran = bncli("gradcheck", PUBLISHED, *asked[2:-2], "--json")
    words = shlex.split(strict(ran.out)["command"])
    assert words == ["bncli", "gradcheck", PUBLISHED, *asked[2:-2]]


def test_less_is_asked_for_with_only():
    """The verdict is on that alone; what there is not is refused with what there is."""
    ran = bncli("gradcheck", PUBLISHED, "--only", "grad_gamma", "--only", "grad_beta")
    assert ran.code == 0
    assert ran.out.startswith("PASS: grad_gamma and grad_beta are right; nothing else was asked")
    ran = bncli("gradcheck", PUBLISHED, "--only", "gamma")
    assert ran.code == 2
    assert "choose grad_input, grad_gamma, grad_beta" in ran.err


def test_several_seeds():
    """All are asked, or up to the first failure, which is told with its seed and asked again."""
    ran = bncli("gradcheck", "--seeds", 3, "--seed", 5, "--json")
    assert (ran.code, strict(ran.out)["seeds"]) == (0, [5, 6, 7])
    ran = bncli("gradcheck", PUBLISHED, "--seeds", 3, "--seed", 5)
    assert ran.out.splitlines()[0] == "FAIL: grad_input is wrong, at seed 5"
    assert ran.out.splitlines()[-1].endswith(" --seed 5")


def test_fewer_pictures_are_taken_and_it_is_said(folder):
    """On stderr, and in the document."""
    ran = bncli("gradcheck", "--images", folder, "--limit", 3, "--json")
    said = "the first 3 of 5 pictures are checked"
    assert ran.err == f"Note: {said}\n"
    assert strict(ran.out)["shape"][0] == 3
    assert said in strict(ran.out)["notes"]


def test_document_of_a_failure():
    """The document has the keys that people script against."""
    ran = bncli("gradcheck", PUBLISHED, "--json", "-q")
    document = strict(ran.out)

    assert ran.code == document["exit_code"] == 1
    assert document["schema"] == "bncli.gradcheck/1"
    assert document["status"] == "fail"
    assert document["seed"] == 0
    assert document["forwards"] > 10
    assert set(document["quantities"]) == {"grad_input", "grad_gamma", "grad_beta"}
    wrong = document["quantities"]["grad_input"]
    for key in ("passed", "max_rel_error", "worst_index", "analytic", "numeric", "wrong"):
        assert key in wrong
    assert (wrong["passed"], wrong["wrong"], wrong["checked"]) == (False, 120, 120)
    assert len(wrong["worst_index"]) == 4
    assert document["quantities"]["grad_beta"]["passed"]
    assert document["diagnosis"]["name"] == "pixels-for-batch-and-mean-divided-twice"
    np.testing.assert_allclose(document["diagnosis"]["coefficients"], [1, 1 / 24, 5 / 24])
    assert document["command"].startswith("bncli gradcheck ")


def test_document_of_a_success_and_of_nan():
    """No diagnosis where nothing is wrong; null where a number is none."""
    assert strict(bncli("gradcheck", "--json").out)["diagnosis"] is None
    ran = bncli("gradcheck", f"{TROUBLED}:NaNGradient", "--json")
    wrong = strict(ran.out)["quantities"]["grad_input"]
    assert ran.code == 1
    assert wrong["analytic"] is None
    assert wrong["max_rel_error"] is None


def test_printed_command_reproduces_the_document(folder):
    """The command in the report, run again, gives the same bytes."""
    first = bncli("gradcheck", PUBLISHED, "--images", folder, "--seed", 5, "--json")
    words = strict(first.out)["command"].split()[1:]

    assert bncli(*words, "--json").out == first.out


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("CallsExit", "backward called sys.exit(7)"),
        ("Interrupts", "backward raised KeyboardInterrupt: all by myself"),
        ("LeavesProcess", "the target ended its process during backward with exit code 9"),
        ("EndsProcess", "the target ended its process during backward with exit code 9"),
        ("Crashes", "the target's process crashed during backward (SIGABRT)"),
        ("IntegerForward", "forward gives int64"),
        ("RaisesLater", "backward raised ArithmeticError: this is too small for me"),
    ],
)
def test_inconclusive_targets(name, reason):
    """Exit 3, with the reason in the first line, and no trace of ours."""
    ran = bncli("gradcheck", f"{TROUBLED}:{name}")

    assert ran.code == 3
    assert ran.out.startswith(f"INCONCLUSIVE: {reason}")
    assert "bncli/" not in ran.out.partition("again:")[0].replace(str(TARGETS), "")
    assert "Traceback" not in ran.out + ran.err


@pytest.mark.parametrize("target", ["Hangs", "HangsInForward", "HangsWithProcess"])
def test_hanging_target_is_stopped_in_time(target):
    """Exit 3 a second or two after its time is up, with a whole document."""
    began = time.monotonic()
    ran = bncli("gradcheck", f"{TROUBLED}:{target}", "--timeout", 1, "--json")

    assert ran.code == 3
    assert time.monotonic() - began < 45  # what hangs does so for a minute
    assert "did not come back within 1 s" in strict(ran.out)["reason"]


def test_hang_at_import_is_stopped():
    """Import is the user's code too."""
    ran = bncli("gradcheck", f"{TARGETS / 'hangs_at_import.py'}:Layer", "--timeout", 1)
    assert ran.code == 3
    assert "import did not come back" in ran.out


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("no_such_module_here:Layer", "there is no such module"),
        ("no/such/file.py:Layer", "there is no such file"),
        (f"{TROUBLED}:Rihgt", "it has no Rihgt; it has Right,"),
        (f"{TARGETS / 'missing_import.py'}:Layer", "No module named 'cv2_that_is_missing'"),
        ("Layer", "give module:Class"),
        (f"{TROUBLED}:GivesNone", "where does it put the gradient of the input?"),
        (f"{TARGETS / 'written.py'}:Riddles", "needs riddle: what is it?"),
        (f"{TROUBLED}:NoBackward", "has no method backward"),
        (f"{TARGETS / 'pair.py'}:forward_with_riddle,backward", "needs riddle: what is it?"),
    ],
)
def test_target_that_cannot_be_used(target, words):
    """Exit 2 and one clear sentence, also as a document; no traceback of ours."""
    ran = bncli("gradcheck", target, "--json")

    assert ran.code == 2
    assert words in ran.err
    assert strict(ran.out)["error"]["kind"] == "TargetError"
    assert words in strict(ran.out)["error"]["message"]
    assert "Traceback" not in ran.err
    assert "bncli/checking/" not in ran.err


def test_exception_of_the_target_is_shown_from_its_own_file_on():
    """The user sees where it was raised; what it says moves no cursor."""
    ran = bncli("gradcheck", f"{TROUBLED}:RaisesAlways")

    assert ran.code == 2
    assert "[bold]no[/bold] \\x1b[31mway" in ran.err
    assert "\x1b" not in ran.err
    assert "troubled.py, line" in ran.err
    assert "bncli/checking/" not in ran.err


def test_what_the_target_prints_does_not_spoil_the_document(tmp_path):
    """stdout holds the document alone, whatever the target writes there."""
    (tmp_path / "loud.py").write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(TARGETS)!r})\n"
        "from troubled import Right\n"
        "print('hello')\n"
        "class Loud(Right):\n"
        "    def forward(self, x):\n"
        "        print('loud'); sys.stdout.flush()\n"
        "        return super().forward(x)\n"
    )
    ran = bncli("gradcheck", "loud:Loud", "--json", cwd=tmp_path)

    assert ran.code == 0
    assert strict(ran.out)["status"] == "pass"
    assert "loud" in ran.err


def test_target_that_asks_for_input_does_not_wait():
    """It gets none."""
    assert bncli("gradcheck", f"{TROUBLED}:AsksForInput", "--timeout", 5).code == 0


def test_own_layer_in_a_process_of_its_own():
    """The public layer, named as any other, passes."""
    assert bncli("gradcheck", "bncli:BatchNorm").code == 0


def test_pictures_are_the_batch(folder, batch):
    """--images checks on the pictures themselves, in value scale, width first."""
    ran = bncli("gradcheck", "--images", folder, "--json")
    document = strict(ran.out)

    assert ran.code == 0
    assert document["shape"] == list(batch.shape) == [5, 7, 5, 3]
    assert document["quantities"]["grad_input"]["checked"] == batch.size


def test_delta_from_a_file(folder, batch, tmp_path, rng):
    """A delta of the right shape is used; one that proves nothing is warned of."""
    np.save(tmp_path / "delta.npy", rng.standard_normal(batch.shape))
    np.save(tmp_path / "ones.npy", np.ones(batch.shape))
    np.save(tmp_path / "small.npy", np.ones((5, 7, 5, 1)))

    ran = bncli("gradcheck", "--images", folder, "--delta", tmp_path / "delta.npy", "--json")
    assert ran.code == 0
    assert strict(ran.out)["warnings"] == []
    ran = bncli("gradcheck", PUBLISHED, "--images", folder, "--delta", tmp_path / "ones.npy")
    assert ran.code == 1
    assert "proves nothing" in ran.out
    ran = bncli("gradcheck", "--images", folder, "--delta", tmp_path / "small.npy")
    assert ran.code == 5


def test_error_maps(tmp_path, batch, folder):
    """The maps are one picture for each of the batch, and the arrays behind them."""
    out = tmp_path / "maps"
    assert bncli("gradcheck", PUBLISHED, "--images", folder, "--heatmap", out).code == 1

    arrays = {name: np.load(out / f"{name}.npy") for name in ("analytic", "numeric", "difference")}
    np.testing.assert_array_equal(arrays["difference"], arrays["analytic"] - arrays["numeric"])
    assert arrays["analytic"].shape == batch.shape
    pictures = [np.asarray(Image.open(path)) for path in sorted(out.glob("error_*.png"))]
    # What the colours mean is asked of maps made by hand; here all is wrong, so nothing is white.
    assert np.stack(pictures).shape == (5, 5, 7, 3)
    assert (np.stack(pictures).min(axis=-1) < 215).all()


def test_error_map_cannot_be_written(tmp_path):
    """A file where the folder should be: exit 6."""
    (tmp_path / "maps").write_text("")
    assert bncli("gradcheck", PUBLISHED, "--heatmap", tmp_path / "maps").code == 6


def test_error_maps_replace_nothing(tmp_path, folder):
    """A second run into the same folder, or one into the pictures' own, is refused."""
    out = tmp_path / "maps"
    assert bncli("gradcheck", "--heatmap", out).code == 0
    before = tree(out)
    assert bncli("gradcheck", "--heatmap", out).code == 6
    assert tree(out) == before
    assert bncli("gradcheck", "--images", folder, "--heatmap", folder).code == 2


def test_self_test_passes():
    """The checker, put to at least 75 planted bugs, names them all, and passes right layers."""
    ran = bncli("gradcheck", "--self-test", "--seed", "5", "--json")
    asked = strict(ran.out)["self_test"]

    assert ran.code == 0
    assert len({one["layer"] for one in asked if one["expected"]}) >= 75
    assert len([one for one in asked if not one["expected"]]) >= 10
    assert all(one["ok"] for one in asked)
    assert all(one["named"] == one["expected"] for one in asked)


@pytest.mark.parametrize(("wrong", "code"), [(False, 0), (True, 1)])
def test_self_test_says_how_many_were_judged_right(wrong, code, monkeypatch):
    """The verdict is the last line: exit 0 if it was right about all layers, otherwise 1."""
    few = [Fault("spoilt", "", faults.STUDIED[0].layer)] if wrong else []
    for name in ("RIGHT", "STUDIED", "OTHERS", "ELSEWHERE"):
        monkeypatch.setattr(self_test, name, (getattr(faults, name)[0],))
    monkeypatch.setattr(self_test, "OTHERS", (*self_test.OTHERS, *few))

    ran = ask("gradcheck", "--self-test")

    verdict = f"{'FAIL' if wrong else 'PASS'}: 6 of {6 + wrong} layers judged right"
    assert (ran.code, ran.out.splitlines()[-1]) == (code, verdict)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--shape", "5,3,4"),
        ("--shape", "5,0,4,2"),
        ("--dtype", "float16"),
        ("--eps", "-1"),
        ("--eps", "nan"),
        ("--tolerance", "7"),
        ("--timeout", "0"),
        ("--delta", "nowhere.npy"),
        ("--layout", "hwcn"),
        ("--only", "gradient"),
        ("--seeds", "0"),
        ("--limit", "1"),
        ("--limit", "5"),
        ("--protocol", "colour"),
        ("--protocol", "colour=red"),
    ],
)
def test_impossible_options(arguments):
    """Exit 2 and one line."""
    ran = bncli("gradcheck", PUBLISHED, *arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert len(ran.err.splitlines()) == 1


def test_one_picture_is_refused():
    """As everywhere: exit 5."""
    assert bncli("gradcheck", "--shape", "1,3,4,2").code == 5


def test_places_can_be_said():
    """By name or path; the document tells them, and what is not there is refused."""
    said = {"grad_gamma": "slope_of_stretch", "grad_beta": "inner.dbeta"}
    options = [word for key, place in said.items() for word in ("--protocol", f"{key}={place}")]
    ran = bncli("gradcheck", f"{TROUBLED}:OtherNames", *options, "--json")

    assert ran.code == 0
    assert said.items() <= strict(ran.out)["protocol"].items()
    ran = bncli("gradcheck", f"{TROUBLED}:OtherNames", "--protocol", "grad_gamma=nowhere")
    assert ran.code == 2
    assert "--protocol grad_gamma=nowhere" in ran.err


LISTS = """
import numpy as np


class Lists:
    def forward(self, x):
        self.x_norm = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-8)
        self.inv_std = 1 / np.sqrt(x.var(0) + 1e-8)
        return self.x_norm

    def backward(self, delta):
        b = len(delta)
        n = self.x_norm
        grad = self.inv_std * (delta - delta.sum(0) / b - n * (delta * n).sum(0) / b)
        return grad.tolist()


class Mute(Lists):
    def backward(self, delta):
        class Unspeakable(Exception):
            def __str__(self):
                raise RuntimeError

        raise Unspeakable
"""


@pytest.mark.parametrize("name", ["Lists", "Mute"])
def test_odd_targets_are_no_bug_of_ours(tmp_path, name):
    """A gradient that is a nested list, an exception whose message raises: said of the target."""
    target = tmp_path / "odd.py"
    target.write_text(LISTS)
    run = bncli("gradcheck", f"{target}:{name}", cwd=tmp_path)

    assert run.code in {0, 1, 2, 3}
    assert "bug in bncli" not in run.err
