"""Backbones of transformers by name: Swin (Liu et al. 2021) and ConvNeXt (Liu et al. 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from glomseg.models.borrowed import BorrowedArguments
from glomseg.settings import limited

BackboneName = Literal[
    "swin-tiny", "swin-small", "swin-base", "swin-large",
    "convnext-tiny", "convnext-small", "convnext-base", "convnext-large",
]  # fmt: skip
SIZES: dict[str, tuple[int, tuple[int, ...]]] = {
    "swin-tiny": (96, (2, 2, 6, 2)),
    "swin-small": (96, (2, 2, 18, 2)),
    "swin-base": (128, (2, 2, 18, 2)),
    "swin-large": (192, (2, 2, 18, 2)),
    "convnext-tiny": (96, (3, 3, 9, 3)),
    "convnext-small": (96, (3, 3, 27, 3)),
    "convnext-base": (128, (3, 3, 27, 3)),
    "convnext-large": (192, (3, 3, 27, 3)),
}
"""Name -> width of the first stage, and blocks a stage; each stage is twice as wide as the one before."""
STAGES = ["stage1", "stage2", "stage3", "stage4"]
HEAD_WIDTH = 32
"""Channels of one attention head of Swin."""


@dataclass(frozen=True, kw_only=True)
class BackboneArguments(BorrowedArguments):
    """The `backbone` by name; `width` and `depths` other than 0 and none make another size of it.

    `window` is that of Swin's attention, and `drop_path` the share of blocks of the last stage that a training step
    leaves out.
    """

    backbone: BackboneName = "swin-tiny"
    width: int = limited(0, low=0, high=512)
    depths: tuple[int, ...] = limited((), low=1, high=64)
    window: int = limited(7, low=1, high=32)
    drop_path: float = limited(0.3, low=0, high=0.9)

    def __post_init__(self) -> None:
        """Check what holds between arguments; raises ValueError."""
        if len(self.depths) not in (0, 4):
            raise ValueError(f"depths is {list(self.depths)}; give the blocks of each of the four stages, or none")

    def config(self, transformers: Any) -> Any:
        """Return what transformers builds it from."""
        width, depths = SIZES[self.backbone]
        width, depths = self.width or width, self.depths or depths
        widths = [width * 2**stage for stage in range(4)]
        if self.backbone.startswith("convnext"):
            return transformers.ConvNextConfig(
                hidden_sizes=widths, depths=list(depths), drop_path_rate=self.drop_path, out_features=STAGES
            )
        return transformers.SwinConfig(
            embed_dim=width,
            depths=list(depths),
            num_heads=[max(1, size // HEAD_WIDTH) for size in widths],
            window_size=self.window,
            drop_path_rate=self.drop_path,
            out_features=STAGES,
        )
