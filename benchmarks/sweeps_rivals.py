"""The interventions of ``sweeps.py`` made with nnsight or TransformerLens.

``sweeps.py`` starts this file under the interpreter that it is given for a rival, in the rival's
own environment; nothing of functok is imported here. A request on standard input, ``CASE WAY BATCH
COUNT``, is answered by the seconds that the first COUNT interventions took; their log-probabilities
lie in the folder then. The ways:

* full: batched passes over the whole prompt, as the libraries' own pages show them.
* prefix: by hand, keys and values of the positions that no intervention reaches are kept, and
  only the last quarter is run; where the library can leave layers below an intervention out, they
  are left out.
* cut: the same, with the prefix kept as far as each batch allows. This is what functok's sweep
  does, as well as it can be built on the library.

In every way the interventions of a batch are made at one layer and lie close together, the hooks
work on the whole batch at once, and only the last position's logits are computed.
"""

import copy
import json
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import DynamicCache, GPTNeoXForCausalLM


class Batch(NamedTuple):
    """Vectors to be added after one layer, a row each."""

    layer: int
    places: Tensor
    vectors: Tensor

    def add(self, hidden: Tensor, first: int = 0) -> Tensor:
        """``hidden``, whose positions begin with ``first``, with the vectors added in place."""
        hidden[torch.arange(len(self.places)), self.places - first] += self.vectors
        return hidden


class Plain(NamedTuple):
    """The prompt run once without an intervention."""

    ids: Tensor
    states: list[Tensor]
    """The residual stream after each layer."""
    cache: Any


class Rival(Protocol):
    def full(self, ids: Tensor, batch: Batch) -> Tensor:
        """Logits at the last position, from passes over the whole prompt."""
        ...

    def plain(self, ids: Tensor) -> Plain: ...

    def resume(self, plain: Plain, batch: Batch, first: int) -> Tensor:
        """The same from position ``first`` on."""
        ...


class Nnsight:
    def __init__(self, net: GPTNeoXForCausalLM) -> None:
        from nnsight import NNsight

        self.model = NNsight(net)
        self.layers = self.model.gpt_neox.layers

    def full(self, ids: Tensor, batch: Batch) -> Tensor:
        rows = ids.expand(len(batch.places), -1)
        with self.model.trace(rows, use_cache=False, logits_to_keep=1):
            batch.add(self.layers[batch.layer].output)
            logits = self.model.output.logits[:, -1].save()
        return logits

    def plain(self, ids: Tensor) -> Plain:
        states: list[Tensor] = []
        with self.model.trace(ids, use_cache=True, logits_to_keep=1):
            for layer in self.layers:
                states.append(layer.output.save())
            cache = self.model.output.past_key_values.save()
        return Plain(ids, states, cache)

    def resume(self, plain: Plain, batch: Batch, first: int) -> Tensor:
        rows = len(batch.places)
        hidden = plain.states[batch.layer][:, first:].repeat(rows, 1, 1)
        hidden = batch.add(hidden, first)
        cache = kept(plain.cache, first, rows)
        ids = plain.ids[:, first:].expand(rows, -1)
        with self.model.trace(ids, past_key_values=cache, logits_to_keep=1):
            for layer in range(batch.layer + 1):
                self.layers[layer].skip(hidden)
            logits = self.model.output.logits[:, -1].save()
        return logits


class Bridge:
    """TransformerLens from 4 on; it runs the layers below an intervention in any case."""

    def __init__(self, net: GPTNeoXForCausalLM) -> None:
        from transformer_lens.model_bridge import TransformerBridge

        self.model = TransformerBridge.boot_transformers(net.name_or_path, hf_model=net)

    def full(self, ids: Tensor, batch: Batch) -> Tensor:
        return self._hooked(ids, batch, use_cache=False)

    def plain(self, ids: Tensor) -> Plain:
        _, cache = self.model(ids, return_type="logits_and_cache", use_cache=True)
        return Plain(ids, [], cache)

    def resume(self, plain: Plain, batch: Batch, first: int) -> Tensor:
        cache = kept(plain.cache, first, len(batch.places))
        return self._hooked(plain.ids[:, first:], batch, first, past_key_values=cache)

    def _hooked(self, ids: Tensor, batch: Batch, first: int = 0, **named: Any) -> Tensor:
        def change(hidden: Tensor, hook: Any) -> Tensor:
            return batch.add(hidden, first)

        return self.model.run_with_hooks(
            ids.expand(len(batch.places), -1),
            fwd_hooks=[(f"blocks.{batch.layer}.hook_out", change)],
            logits_to_keep=1,
            **named,
        )[:, -1]


class Hooked:
    """TransformerLens before 4, whose ``HookedTransformer`` can start at any layer."""

    def __init__(self, net: GPTNeoXForCausalLM) -> None:
        from transformer_lens import HookedTransformer, loading_from_pretrained

        folder = net.name_or_path
        config = loading_from_pretrained.get_pretrained_model_config(folder, fold_ln=False)
        weights = loading_from_pretrained.get_pretrained_state_dict(folder, config, net)
        self.model = HookedTransformer(config)
        self.model.load_and_process_state_dict(
            weights,
            fold_ln=False,
            center_writing_weights=False,
            center_unembed=False,
            fold_value_biases=False,
        )
        self.layers = self.model.cfg.n_layers

    def full(self, ids: Tensor, batch: Batch) -> Tensor:
        def change(hidden: Tensor, hook: Any) -> Tensor:
            return batch.add(hidden)

        hidden = self.model.run_with_hooks(
            ids.expand(len(batch.places), -1),
            fwd_hooks=[(f"blocks.{batch.layer}.hook_resid_post", change)],
            stop_at_layer=self.layers,
        )
        return self._head(hidden)

    def plain(self, ids: Tensor) -> Plain:
        from transformer_lens import TransformerLensKeyValueCache as Cache

        cache = Cache.init_cache(self.model.cfg, "cpu")
        _, states = self.model.run_with_cache(
            ids,
            names_filter=lambda name: name.endswith("hook_resid_post"),
            stop_at_layer=self.layers,
            past_kv_cache=cache,
            attention_mask=torch.ones_like(ids),
        )
        return Plain(ids, [states["resid_post", layer] for layer in range(self.layers)], cache)

    def resume(self, plain: Plain, batch: Batch, first: int) -> Tensor:
        rows = len(batch.places)
        hidden = plain.states[batch.layer][:, first:].repeat(rows, 1, 1)
        hidden = batch.add(hidden, first)
        cache = copy.copy(plain.cache)
        cache.entries = [copy.copy(entry) for entry in plain.cache.entries]
        for entry in cache.entries:
            entry.past_keys = entry.past_keys[:, :first].expand(rows, -1, -1, -1)
            entry.past_values = entry.past_values[:, :first].expand(rows, -1, -1, -1)
        hidden = self.model(
            hidden,
            start_at_layer=batch.layer + 1,
            stop_at_layer=self.layers,
            past_kv_cache=cache,
            attention_mask=torch.ones_like(plain.ids).expand(rows, -1),
        )
        return self._head(hidden)

    def _head(self, hidden: Tensor) -> Tensor:
        return self.model.unembed(self.model.ln_final(hidden[:, -1:]))[:, -1]


def kept(cache: DynamicCache, first: int, rows: int) -> DynamicCache:
    """The cache before position ``first``, seen from every row without being copied."""
    cut = copy.copy(cache)
    cut.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in cut.layers:
        layer.keys = layer.keys[:, :, :first].expand(rows, -1, -1, -1)
        layer.values = layer.values[:, :, :first].expand(rows, -1, -1, -1)
    return cut


def batches(case: dict[str, Tensor], size: int) -> Iterator[tuple[Tensor, Batch]]:
    """Rows and their batch, by layer and position."""
    for layer in case["layers"].unique().tolist():
        rows = (case["layers"] == layer).nonzero()[:, 0]
        rows = rows[case["positions"][rows].argsort()]
        for part in rows.split(size):
            yield part, Batch(layer, case["positions"][part], case["vectors"][part])


@torch.no_grad()
def run(rival: Rival, case: dict[str, Tensor], way: str, size: int) -> Tensor:
    ids = case["ids"][None]
    plain = None if way == "full" else rival.plain(ids)
    parts = []
    for rows, batch in batches(case, size):
        if plain is None:
            logits = rival.full(ids, batch)
        else:
            first = (batch.places if way == "cut" else case["positions"]).min()
            logits = rival.resume(plain, batch, int(first))
        parts.append((rows, logits.log_softmax(-1)))
    found = torch.empty(len(case["layers"]), parts[0][1].shape[1])
    for rows, values in parts:
        found[rows] = values
    return found


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries say things on the way
    number = version(name)
    net = GPTNeoXForCausalLM.from_pretrained(folder / "model").eval()
    if name == "nnsight":
        rival: Rival = Nnsight(net)
    else:
        rival = Hooked(net) if int(number.split(".")[0]) < 4 else Bridge(net)
    print(json.dumps(number), file=answers, flush=True)
    for line in sys.stdin:
        which, way, size, count = line.split()
        case = load_file(folder / f"{which}.safetensors")
        for name in ("layers", "positions", "vectors"):
            case[name] = case[name][: int(count)]
        begin = time.perf_counter()
        found = run(rival, case, way, int(size))
        taken = time.perf_counter() - begin
        save_file({"found": found}, folder / "found.safetensors")
        print(json.dumps(taken), file=answers, flush=True)


if __name__ == "__main__":
    main()
