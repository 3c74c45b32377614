"""Each architecture that can be trained, as small as it gets."""

STAGES = {"width": 16, "depths": [1, 1, 1, 1], "window": 4}
SMALL = {
    "variable-unet": {"patch_size": 256},
    "smp-unet": {"encoder": "tu-test_resnet"},
    "smp-unet++": {"encoder": "tu-test_resnet"},
    "smp-deeplabv3+": {"encoder": "tu-test_resnet"},
    "smp-segformer": {"encoder": "tu-test_resnet"},
    "smp-upernet": {"encoder": "tu-test_resnet"},
    "segformer": {"width": 8, "depths": [1, 1, 1, 1], "decoder_width": 16},
    "upernet": {**STAGES, "decoder_width": 16},
    "mask2former": {
        **STAGES,
        "decoder_width": 32,
        "queries": 10,
        "pixel_layers": 1,
        "decoder_layers": 2,
        "points": 256,
    },
}
"""Architecture -> arguments."""
