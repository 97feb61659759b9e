"""Parts of a text that are searched apart and joined give what a search through the whole gives."""

import itertools
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.samples import winners
from pipeline.samples.winners import Winners

# many ties; beside zeros of both signs the least and greatest numbers
PEAKS = st.sampled_from([-3.4e38, -1.5, -1.0, -1e-45, -0.0, 0.0, 1e-45, 1.0, 1.5, 3.4e38])


def as_floats(values):
    return torch.tensor(values, dtype=torch.float32)


def searched(texts, samples, n_neurons, batch=3, seed=0):
    """The winners of texts, each a list of windows, each the neurons' peaks; in batches of any order."""
    found = Winners(n_neurons, samples)
    places = [winners.place(text, part) for text, each in enumerate(texts) for part in range(len(each))]
    windows = [
        (number, place, peaks)
        for number, (place, peaks) in enumerate(
            zip(places, (w for each in texts for w in each), strict=True)
        )
    ]
    random.Random(seed).shuffle(windows)
    for start in range(0, len(windows), batch):
        numbers, where, peaks = zip(*windows[start : start + batch], strict=True)
        found.offer(as_floats(peaks), list(numbers), list(where))
    return found


def best(texts, samples, neuron):
    """The peaks, numbers, texts and parts of the best windows of a neuron, by sorting all."""
    places = [(text, part) for text, each in enumerate(texts) for part in range(len(each))]
    windows = [peaks[neuron] for each in texts for peaks in each]
    order = sorted(range(len(windows)), key=lambda number: (-windows[number], number))[:samples]
    return [(as_floats(windows[number]).item() + 0.0, number, *places[number]) for number in order]


def as_rows(found, neuron):
    each = zip(found.peaks[neuron], found.numbers[neuron], found.places[neuron], strict=True)
    return [
        (peak.item(), number.item(), *winners.text_and_part(place.item()))
        for peak, number, place in each
        if number >= 0
    ]


TEXTS = st.lists(st.lists(st.tuples(PEAKS, PEAKS), max_size=4), max_size=12)


@given(TEXTS, st.integers(1, 6), st.integers(1, 7), st.integers(0, 9))
@settings(max_examples=100, deadline=None)
def test_winners_are_the_first_of_all_windows_sorted_whatever_the_batches(texts, samples, batch, seed):
    found = searched(texts, samples, 2, batch, seed)
    for neuron in range(2):
        assert as_rows(found, neuron) == best(texts, samples, neuron)


@given(TEXTS, st.integers(1, 6), st.sets(st.integers(0, 12), max_size=4), st.randoms())
@settings(max_examples=100, deadline=None)
def test_parts_that_are_searched_apart_join_to_the_same_in_any_order(texts, samples, cuts, draw):
    cuts = [0, *sorted(cuts), 13]
    parts = [
        (sum(map(len, texts[:start])), start, texts[start:end]) for start, end in itertools.pairwise(cuts)
    ]
    draw.shuffle(parts)
    joined = Winners(2, samples)
    for n_windows, n_texts, part in parts:
        joined.join(searched(part, samples, 2).found(), n_windows, min(n_texts, len(texts)))
    whole = searched(texts, samples, 2)
    for neuron in range(2):
        assert as_rows(joined, neuron) == as_rows(whole, neuron) == best(texts, samples, neuron)


@given(*[TEXTS] * 3, st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_joining_is_associative(one, two, three, samples):
    parts, n_windows, n_texts = [], 0, 0
    for texts in (one, two, three):
        part = Winners(2, samples)
        part.join(searched(texts, samples, 2).found(), n_windows, n_texts)
        parts.append(part)
        n_windows, n_texts = n_windows + sum(map(len, texts)), n_texts + len(texts)

    def joined(left, right):
        both = Winners(2, samples)
        both.join(left.found())
        both.join(right.found())
        return both

    first, second = (
        joined(joined(parts[0], parts[1]), parts[2]),
        joined(parts[0], joined(parts[1], parts[2])),
    )
    whole = searched(one + two + three, samples, 2)
    for neuron in range(2):
        assert as_rows(first, neuron) == as_rows(second, neuron) == as_rows(whole, neuron)


@given(TEXTS, TEXTS, st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_what_was_found_since_a_window_joins_to_what_was_found_before_it(before, after, samples):
    first, n_windows = searched(before, samples, 2), sum(map(len, before))
    both = searched(before + after, samples, 2)
    since = both.found(n_windows)
    assert all(winners.text_and_part(each)[0] >= len(before) for each in since.places.tolist())
    first.join(since, n_windows)
    for neuron in range(2):
        assert as_rows(first, neuron) == as_rows(both, neuron)


@pytest.mark.parametrize("text", [0, 1, 2**38])
@pytest.mark.parametrize("part", [0, 1, 2**24 - 1])
def test_a_place_tells_text_and_part_and_is_ordered_as_they_are(text, part):
    assert winners.text_and_part(winners.place(text, part)) == (text, part)
    assert winners.place(text, part) < winners.place(text + 1, 0)


@pytest.mark.parametrize("number", [0, 1, 2**31, 2**32 - 2])
def test_numbers_of_very_long_texts_are_kept(number):
    found = Winners(1, 2)
    found.offer(as_floats([[1.0], [1.0]]), [number + 1, number], [number + 1, number])
    assert found.numbers.tolist() == [[number, number + 1]]


@pytest.mark.parametrize("length", [6, 6000])
def test_memory_does_not_depend_on_how_long_texts_are_or_how_many(length):
    found = Winners(3, 4)
    for number in range(50):
        found.offer(as_floats([[number, 0, -number]]), [number], [winners.place(number, length)])
    assert sum(each.nbytes for each in vars(found).values()) == 2 * 8 * 3 * 4
