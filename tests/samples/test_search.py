"""The peaks of windows, and the search of ranges of texts."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lookup_model import LookupModel

from pipeline.samples import search
from pipeline.samples.search import Search, Searched, Searcher
from pipeline.samples.text_windows import Text
from pipeline.samples.winners import Side, Winners


@given(st.lists(st.integers(2, 9), min_size=1, max_size=6), st.sampled_from([1, -1]), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_the_highest_or_lowest_value_is_that_of_a_windows_own_tokens_and_nothing_is_changed(
    lengths, sign, seed
):
    draw = torch.Generator().manual_seed(seed)
    values = torch.randint(-4, 4, (len(lengths), max(lengths), 5), generator=draw).float()
    before = values.clone()
    found = search.highest(values, lengths, sign)
    assert values.equal(before)  # the pass goes on with them
    for window, length in enumerate(lengths):
        own = sign * before[window, 1:length]
        assert found[window].tolist() == own.amax(0).tolist()


def test_values_of_half_precision_give_peaks_in_single_precision():
    assert search.highest(torch.ones(2, 3, 4, dtype=torch.bfloat16), [3, 2]).dtype == torch.float32


@pytest.mark.parametrize("sides", [(Side(0, 3), Side(0, 3, -1)), (Side(1, 4, -1), Side(0, 3), Side(1, 4))])
def test_both_ends_of_neurons_are_searched_beside_each_other(sides):
    model = LookupModel(layers=(0, 1))
    what = Search(sides, samples=2, longest=6, batch_tokens=20)
    texts = ["12345", "67", "1", "26262", "7"]
    [shard] = Text(lambda: texts).ranges()
    winners = Winners(what.n_columns, 2)
    winners.join(Searched.of(Searcher(what, model)(shard)).found)
    assert [layers for _, layers in model.asked] == [sorted({side.layer for side in sides})] * len(
        model.asked
    )
    column = 0
    for side in sides:
        for neuron in range(side.n_neurons):
            own = side.sign * model.tables[side.layer][:, neuron]
            peaks = [max(own[int(letter)].item() for letter in text) for text in texts]
            order = sorted(range(len(texts)), key=lambda n, peaks=peaks: (-peaks[n], n))[:2]
            assert winners.numbers[column].tolist() == order
            assert winners.peaks[column].tolist() == [peaks[n] for n in order]
            column += 1


def test_a_range_gives_only_what_may_win_beside_the_ranges_before_it():
    model = LookupModel(n_neurons=1)
    model.table[:, 0] = torch.arange(8.0)
    work = Searcher(Search((Side(1, 1),), samples=2, longest=6, batch_tokens=20), model)
    first, second, third = Text(lambda: ["7", "6", "5", "7", "7", "1"], grouped=2).ranges()
    found = [Searched.of(work(shard)) for shard in (first, second, third)]
    assert [each.found.places.tolist() for each in found] == [[0, 1 << 24], [3 << 24], []]
    assert [(each.n_texts, each.n_windows) for each in found] == [(2, 2)] * 3
