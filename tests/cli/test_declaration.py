"""Every option is declared once, and all that a user meets of it is made from that."""

from __future__ import annotations

import ast
import inspect
import itertools
from pathlib import Path
from typing import get_args, get_type_hints

import click
import pytest
from click.shell_completion import ShellComplete

import bncli
from bncli.checking.layouts import LAYOUTS
from bncli.checking.question import DTYPES, PROBE_SHAPE
from bncli.cli.config import key_of, read_config
from bncli.cli.entry import bncli as group
from bncli.runs import options
from bncli.runs.options import COMMANDS, Arg, Opt, groups_of

ROOM = Path(bncli.__file__).parent / "cli"
CONTEXT = click.Context(group, info_name="bncli")
MADE = {name: group.get_command(CONTEXT, name) for name in group.list_commands(CONTEXT)}
RUNS = ("normalize", "fit", "apply", "invert")
TWINS = {"normalize": "normalize_folder", "fit": "fit_folder", "apply": "apply_folder",
         "invert": "invert_folder"}  # fmt: skip
EXAMPLES = {
    ":file": ("a.x", "a.x"), ":files": ("a.x", ("a.x",)), ":list": ("a.x", "a.x"),
    ":texts": ("*.x", ("*.x",)), ":pairs": ("a=b", (("a", "b"),)), ":number": ("2.5", 2.5),
    ":above-0": ("2.5", 2.5), ":0-1": ("1", 1), ":jobs": ("3", 3), ":memory": ("1K", 1024),
    ":size": ("64x48", (64, 48)), ":shape": ("2,3,4,5", (2, 3, 4, 5)),
}  # fmt: skip
"""Type of the command line -> a value as typed, and as the command is given it."""


def declared(command, kind=Opt):
    """Name -> declaration, of all options (or arguments) of a command."""
    return {
        name: fact
        for part in COMMANDS[command]
        for name, hint in get_type_hints(part, include_extras=True).items()
        for fact in get_args(hint)[1:]
        if isinstance(fact, kind)
    }


def long(name):
    return "--" + name.replace("_", "-")


def example(opt):
    """A value as it is typed, and as the command is given it."""
    if opt.takes is bool:
        return "1", True
    if isinstance(opt.takes, tuple):
        return opt.takes[-1], opt.takes[-1]
    if opt.takes is float:
        return "0.25", 0.25
    if isinstance(opt.takes, int):
        return str(opt.takes + 1), opt.takes + 1
    if opt.takes.startswith(":"):
        return EXAMPLES[opt.takes.partition(" ")[0]]
    return "1/2", "1/2"


OPTIONS = [
    pytest.param(command, name, opt, id=f"{command}-{name}")
    for command in COMMANDS
    for name, opt in declared(command).items()
]
GIVEN = [case for case in OPTIONS if case.values[1] != "config"]


def made_by_hand(source):
    """What of click makes options and arguments in a module."""
    names = {"option", "argument", "Option", "Argument"}
    return [
        node.func.attr
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        and node.func.attr in names
    ]  # fmt: skip


def test_options_are_made_in_one_place():
    """No module of the room but declared.py makes an option or an argument."""
    found = {path.name: made_by_hand(path.read_text()) for path in ROOM.glob("*.py")}
    assert {name for name, calls in found.items() if calls} == {"declared.py"}


@pytest.mark.parametrize(
    "source",
    [
        "@click.option('--jobs')\ndef f(): ...",
        "@click.argument('x')\ndef f(): ...",
        "x = click.Option(['--jobs'])",
        "f = section('Input', click.option('--jobs'))",
    ],
)
def test_an_option_made_by_hand_is_found(source):
    """The law can fail: each way in which click is handed an option."""
    assert made_by_hand(source) != []


def test_every_command_is_declared():
    """The table of the declaration and that of the group name the same commands, in one order."""
    assert list(COMMANDS) == list(MADE)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_what_is_declared(command):
    """Each option and argument of a command is declared, and each declaration is used, once."""
    parameters = [parameter.name for parameter in MADE[command].params]
    assert sorted(parameters) == sorted([*declared(command), *declared(command, Arg)])
    grouped = [name for part in groups_of(command) for name in part.__annotations__]
    wanted = [name for part in COMMANDS[command] for name in part.__annotations__]
    assert sorted(grouped) == sorted(wanted)


def test_no_group_is_left_over():
    """Each group of the declaration is part of a command."""
    used = {part for command in COMMANDS for part in groups_of(command)}
    composed = {part for parts in COMMANDS.values() for part in parts}
    known = {thing for thing in vars(options).values() if hasattr(thing, "__total__")}
    assert known - used == composed - used
    assert {part.__name__ for part in known - used} == {
        "NormalizeOptions", "FitOptions", "ApplyOptions", "InvertOptions", "GradcheckOptions",
    }  # fmt: skip


def test_no_option_is_declared_twice():
    """Two groups that have an option of one name mean two things by it, and say so in its help."""
    said = {}
    for part in {part for command in COMMANDS for part in groups_of(command)}:
        for name, hint in get_type_hints(part, include_extras=True).items():
            for fact in get_args(hint)[1:]:
                if isinstance(fact, Opt):
                    said.setdefault(name, []).append(fact.help)
    again = {name: helps for name, helps in said.items() if len(set(helps)) != len(helps)}
    assert again.keys() == {"seed"}  # of a probe for gradcheck, of gamma, beta and delta elsewhere


@pytest.mark.parametrize("command", TWINS)
def test_python_twins_take_the_same(command):
    """The keywords of a function are the options of its command: all but streams and places."""
    function = getattr(bncli, TWINS[command])
    signature = inspect.signature(function, eval_str=True)
    (keywords,) = get_args(signature.parameters["options"].annotation)
    elsewhere = {"sources", "statistics", "files_from", "out", "config"}
    elsewhere |= set(options.Streams.__annotations__)

    assert keywords in COMMANDS[command]
    assert set(keywords.__annotations__) - {"command"} == (
        {parameter.name for parameter in MADE[command].params} - elsewhere
    )
    positional = [
        p.name for p in signature.parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    assert positional == [*(["statistics"] if "statistics" in positional else []), "sources", "out"]


def test_the_other_twins():
    """merge_statistics takes the options of merge, gradcheck those that are a question."""
    merge = inspect.signature(bncli.merge_statistics).parameters
    assert set(merge) - {"paths", "out"} == set(options.MergeOptions.__annotations__)
    check = set(inspect.signature(bncli.gradcheck).parameters)
    asked = set(options.Question.__annotations__) - {"images", "limit"} | {"layout", "protocol"}
    assert check == asked | {"target", "x", "arguments", "progress", "announce"}


@pytest.mark.parametrize(("command", "name", "opt"), OPTIONS)
def test_the_help_names_it(command, name, opt):
    """With its short form, its choices, its sentence and its default."""
    ctx = MADE[command].make_context(command, [], CONTEXT, resilient_parsing=True)
    ctx.terminal_width = 10_000
    start = f"  {opt.short}, {long(name)} " if opt.short else f"  {long(name)} "
    entries = [entry for entry in ctx.get_help().split("\n  -") if f"  -{entry}".startswith(start)]
    (entry,) = [" ".join(entry.split("\n\n")[0].split()) for entry in entries]
    term, _, notes = entry.partition(opt.help)

    assert opt.help in entry
    if isinstance(opt.takes, tuple):
        assert term.split()[-1] == f"[{'|'.join(opt.takes)}]"
    usual = opt.shown or (str(opt.default) if opt.default not in {None, ()} else "")
    assert (f"default {usual}" in notes) == bool(usual)
    assert ("required" in notes) == opt.required


def context(command, *arguments):
    """The command line of a command, parsed, with what it cannot do without."""
    needed = [example_of(arg) for arg in declared(command, Arg).values() if arg.required]
    for name, opt in declared(command).items():
        if opt.required and not any(word == long(name) for word in arguments):
            needed += [long(name), "x"]
    return MADE[command].make_context(command, [*needed, *arguments], parent=click.Context(group))


def example_of(arg):
    return arg.takes[0] if isinstance(arg.takes, tuple) else "x"


@pytest.mark.parametrize(("command", "name", "opt"), GIVEN)
def test_the_command_line_and_the_environment_give_it(monkeypatch, command, name, opt):
    """By its long name, its short one, and by both of its variables, the same value."""
    typed, value = example(opt)
    words = [] if opt.takes is bool else [typed]
    found = [context(command, long(name), *words).params[name]]
    if opt.short:
        found.append(context(command, opt.short, *words).params[name])
    for prefix in ("BNCLI", f"BNCLI_{command.upper()}"):
        if not opt.required:
            with monkeypatch.context() as patch:
                patch.setenv(f"{prefix}_{name.upper()}", typed)
                found.append(context(command).params[name])
    assert found == [value] * len(found)


@pytest.mark.parametrize(("command", "name", "opt"), GIVEN)
def test_nothing_given_is_the_declared_default(command, name, opt):
    """What a command is given of an option that nobody gave."""
    if not opt.required:
        usual = False if opt.takes is bool else opt.default
        assert context(command).params[name] == usual


@pytest.mark.parametrize(("command", "name", "opt"), GIVEN)
def test_the_config_file_gives_it(tmp_path, command, name, opt):
    """In the table of its command, and as what all commands share."""
    typed, value = example(opt)
    written = "true" if opt.takes is bool else f"'{typed}'"
    words = str(opt.takes).startswith((":jobs", ":memory"))  # auto is one of their values
    if isinstance(value, int | float) and opt.takes is not bool and not words:
        written = typed
    key = long(name).removeprefix("--")
    path = tmp_path / "job.toml"
    for text in (f"[{command}]\n{key} = {written}\n", f"{key} = {written}\n"):
        path.write_text(text)
        if text.startswith(key) and any(
            example(other) != example(opt)
            for each in COMMANDS
            for other in [declared(each).get(name, opt)]
        ):
            continue  # as what all share it would have to be of one type
        (parameter,) = read_config(str(path), MADE, command)
        assert key_of(parameter) == key


@pytest.mark.parametrize(("command", "name", "opt"), OPTIONS)
def test_the_shell_completes_it(command, name, opt):
    """Its name from the first letters, and the words that it takes."""
    shell = ShellComplete(group, {}, "bncli", "_BNCLI_COMPLETE")
    names = [item.value for item in shell.get_completions([command], long(name))]
    assert long(name) in names
    if opt.takes is not bool:
        items = shell.get_completions([command, long(name)], "")
        if isinstance(opt.takes, tuple):
            assert [item.value for item in items] == list(opt.takes)
        elif isinstance(opt.takes, str) and "|" in opt.takes and ":" not in opt.takes[0]:
            assert all(item.value in opt.takes for item in items)
        elif str(opt.takes).startswith((":file", ":list", ":config")):
            assert [item.type for item in items] == ["file"]


DECIDE = {
    "mode": "other values of each pixel", "alpha": "other channels", "frames": "other pictures",
    "resize": "other pixels", "gamma": "y", "beta": "y", "eps": "y",
    "seed": "gamma, beta and delta",
    "delta": "the gradients", "update": "gamma.npy and beta.npy", "lr": "the step",
    "momentum": "the step, and running statistics", "decay": "the step", "lr_decay": "the step",
    "state": "the step", "ddof": "stats.npz, and so y", "batch_size": "stats.npz",
    "shard": "which pictures are in stats.npz, and what it says of them",
    "update_from": "what else is in stats.npz", "scale": "pixel values", "format": "the files",
    "depth": "PNG", "dtype": "arrays", "keep_metadata": "what is copied into files",
}  # fmt: skip
"""Option -> what of a result depends on it."""

DO_NOT = {
    "recursive": "names pictures, and the pictures of a run are known themselves",
    "include": "likewise", "exclude": "likewise", "max_pixels": "refuses, and changes nothing else",
    "on_error": "leaves pictures out, and those of a run are known themselves",
    "jobs": "the same bytes for any number", "max_memory": "the same bytes in any chunks",
    "overwrite": "what was there before", "dry_run": "writes nothing",
    "engine": "the same bytes by any engine", "timeout": "refuses", "scheduler": "of the engine",
    "tls_ca": "of the engine", "tls_cert": "of the engine", "tls_key": "of the engine",
    "exact": "what it refuses is told by what was noted of each file, kept or not",
    "resume": "the same bytes as undisturbed", "contact_sheet": "drawn of results",
    "report": "drawn of results",
}  # fmt: skip
"""Option -> why no byte of a result depends on it, given the pictures."""


@pytest.mark.parametrize("command", RUNS)
def test_what_decides_the_bytes_of_a_result(command):
    """Each option of a run was thought about: it decides, or it does not."""
    elsewhere = {"files_from", "out", "config", *options.Streams.__annotations__}
    run = {name: opt for name, opt in declared(command).items() if name not in elsewhere}

    assert {name for name, opt in run.items() if opt.decides} == run.keys() & DECIDE.keys()
    assert {name for name, opt in run.items() if not opt.decides} == run.keys() & DO_NOT.keys()


def test_reasons_are_of_options_that_exist():
    """No option has reasons for both, and none that is gone has any."""
    known = {name for command in RUNS for name in declared(command)}
    assert not DECIDE.keys() & DO_NOT.keys()
    assert DECIDE.keys() | DO_NOT.keys() <= known


def test_other_commands_decide_no_run():
    """What is asked of merge, gradcheck and the others is in the key of no run."""
    for command in COMMANDS.keys() - set(RUNS):
        assert not any(opt.decides for opt in declared(command).values())


def test_what_gradcheck_shows_is_what_it_does():
    """The declaration, which loads no numpy, agrees with the room that does the work."""
    asked = declared("gradcheck")
    assert asked["dtype"].takes == DTYPES
    assert asked["layout"].takes == ("auto", *LAYOUTS)
    assert asked["shape"].shown == ",".join(map(str, PROBE_SHAPE))


@pytest.mark.parametrize("command", RUNS)
def test_every_option_of_a_run_is_served(command):
    """What is declared is read by its name somewhere in the stories: no option does nothing."""
    stories = [path for path in Path(options.__file__).parent.glob("*.py")
               if path.name != "options.py"]  # fmt: skip
    spoken = set()
    for node in itertools.chain(*(ast.walk(ast.parse(path.read_text())) for path in stories)):
        if isinstance(node, ast.Attribute):
            spoken.add(node.attr)
        elif isinstance(node, ast.Constant):
            spoken.add(node.value)
    elsewhere = {"files_from", "out", "config", *options.Streams.__annotations__}

    assert declared(command).keys() - elsewhere <= spoken
    assert "no_such_option" not in spoken
