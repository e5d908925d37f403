"""Draw the module's icon: four sequences as rings around a tumour, one of them missing.

python apps/slicer/tools/draw_icon.py
"""

from pathlib import Path

from PIL import Image, ImageDraw

SIZE, SMOOTH = 128, 8
PLACE = Path(__file__).parents[1] / "BratsMM" / "Resources" / "Icons" / "BratsMM.png"
HEAD, RIM = (38, 50, 66), (205, 214, 224)
QUARTERS = (((111, 168, 220), 182, 268), ((242, 190, 44), 272, 358), ((89, 161, 79), 92, 178))
OEDEMA, CORE, NECROSIS = (89, 161, 79), (242, 190, 44), (225, 87, 89)


def main() -> None:
    """Draw the icon enlarged and shrink it, for smooth edges."""
    side = SIZE * SMOOTH
    image = Image.new("RGBA", (side, side), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)

    def ring(radius: float, colour: tuple[int, int, int], at: tuple[float, float] = (0.5, 0.5)) -> None:
        x, y, r = at[0] * side, at[1] * side, radius * side
        draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)

    edge = 0.03 * side
    for colour, start, end in QUARTERS:
        draw.arc((edge, edge, side - edge, side - edge), start, end, fill=colour, width=int(0.075 * side))
    for start in range(4, 86, 14):  # the missing sequence is dashed
        draw.arc((edge, edge, side - edge, side - edge), start, start + 6, fill=RIM, width=int(0.03 * side))
    ring(0.355, RIM)
    ring(0.335, HEAD)
    ring(0.20, OEDEMA, (0.57, 0.45))
    ring(0.135, CORE, (0.59, 0.46))
    ring(0.065, NECROSIS, (0.60, 0.46))
    PLACE.parent.mkdir(parents=True, exist_ok=True)
    image.resize((SIZE, SIZE), Image.Resampling.LANCZOS).save(PLACE, optimize=True)


if __name__ == "__main__":
    main()
