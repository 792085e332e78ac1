"""Are the boxes where the damage is?"""

from __future__ import annotations

from training.rewards.task import Answer, Task, pairs


def boxes(task: Task, answer: Answer) -> float | None:
    """Half the mean IoU of matched boxes plus half the F1, 2 x matched / (found + true); types do not count.

    Two true boxes and one found that fits one of them at IoU 0.8: (0.8 + 2/3) / 2 = 0.73. A pristine picture has one
    right answer: no distortion at all earns 1, any earns 0.
    """
    if not task.asks("distortions"):
        return None
    if answer.report is None:
        return 0.0
    found, true = answer.report.distortions, task.truth.distortions
    if not found and not true:
        return 1.0
    matched = pairs(found, true)
    if not matched:
        return 0.0
    mean_iou = sum(iou for _, _, iou in matched) / len(matched)
    return (mean_iou + 2 * len(matched) / (len(found) + len(true))) / 2
