"""The decision page's figure: which estimator for which question."""

import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

BLUE, ORANGE, GREY = "#3b6fb6", "#d9703c", "#6b6b6b"
ROWS = [
    ("How do rows differ, in a few numbers?", 'VAETransformer(objective="embedding")'),
    ("How probable is a row? What would new rows be?", "VAETransformer()"),
    ("Which rows are unlike the others, and why?", "VAEOutlierDetector()"),
    ("What would stand in the missing cells?", "VAEImputer()"),
    ("More rows of a rare class?", "VAESampler()"),
]

figure, ax = plt.subplots(figsize=(9, 3.6), layout="constrained")
for i, (question, answer) in enumerate(ROWS):
    y = -i
    ax.text(0, y, question, va="center", ha="left", fontsize=11, color="black")
    ax.annotate("", (5.5, y), (4.9, y), arrowprops={"arrowstyle": "->", "color": GREY})
    box = FancyBboxPatch(
        (5.65, y - 0.3), 4.2, 0.6, boxstyle="round,pad=0.05", fc="white",
        ec=BLUE if "VAETransformer" in answer else ORANGE,
    )  # fmt: skip
    ax.add_patch(box)
    ax.text(5.8, y, answer, va="center", ha="left", fontsize=10, family="monospace")
ax.set(xlim=(-0.1, 10), ylim=(-len(ROWS) + 0.4, 0.6))
ax.axis("off")
