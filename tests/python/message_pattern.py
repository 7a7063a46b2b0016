"""The pattern of every error message: what happened, where, and what to do."""

import re

# A place: FILE:LINE or a path, a recipe key, an option, an argument in capitals, a rank, or a name in quotes.
PLACES = [
    r"[\w./-]+:\d+", r"[\w.-]+/[\w./-]+", r"\b[\w-]+\.(?:jsonl|json|yaml|csv|tsv|txt|h5|gguf|safetensors|npz|bin)\b",
    r"\b[a-z_]+\.[a-z_]+(?:\.[a-z_0-9]+)*\b", r"--[a-z]", r"\b[A-Z]{3,}\b", r"\brank \d+", r"'[^']+'", r"\bsrun\b",
    r"standard output", r"cannot [a-z ]+ \S+: ", r"^[\w.-]+: ", r"\bcommand line\b",
]
# What to do begins with a verb, at the start of a sentence or of a part of one.
VERBS = (
    "add allow ask begin bind build change check choose close come compare confirm contact convert copy "
    "correct count create cut delete double download drop end evaluate export extract fetch fill finish "
    "fit form free give go have increase install join keep leave list load look lower make mark mend "
    "merge move name normalise number open pass point prepare provide put quote raise read rebuild reduce "
    "regenerate reinstall remove rename repair repeat replace report restart restore resume retry run "
    "save say see select separate set shorten show simplify specify split spread start stop store supply "
    "switch take train try turn unpack update upgrade use wait write")
REMEDY = re.compile(
    r"(?:^|[.;:,?!)] +|\bor |\band |\bto |\()(?:" + "|".join(VERBS.split()) + r")\b"
    r"|did you mean|must (?:be|differ|hold|name|not)|`[^`]+` (?:shows|lists|makes|tells|gives)", re.IGNORECASE)


def place_in(text):
    return any(re.search(place, text, re.MULTILINE) for place in PLACES)


def remedy_in(text):
    return REMEDY.search(text) is not None


def check_message(message):
    """Each mistake stands on a line of its own; its first words say what happened, so those need no check of ours."""
    for line in filter(None, (line.strip() for line in message.splitlines())):
        assert place_in(line), f"no place in: {line}"
        assert remedy_in(line), f"no remedy in: {line}"
