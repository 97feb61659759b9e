"""The stages of step 0, by source: where texts come from."""

from pipeline.samples import scan
from pipeline.samples.neuroscope import fetch, pages

STAGES = (fetch.PAGES, pages.SAMPLES, scan.SCAN)
