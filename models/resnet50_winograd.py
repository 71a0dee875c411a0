"""ResNet-50 with Winograd's algorithm for its 3x3 convolutions of stride 1."""

from pathlib import Path

from toolchain.recipe import load_recipe

HEAVY = True
WINOGRAD = True

build = load_recipe(Path(__file__).with_name("resnet50.py")).build
