"""`python -m feature_neurons`."""

import sys

from feature_neurons import main

sys.exit(main())
