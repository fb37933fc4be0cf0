"""How far descriptions are true of rows that their authors never saw."""

from describe.scoring.agreement import WORDS_METHOD, AgreementQuestion, load_agreement_template, shared_words
from describe.scoring.detection import Judgement, JudgeQuestion, detection, load_judge_template
from describe.scoring.evidence import METHOD, SETTINGS, StatisticsJudge
from describe.scoring.likelihood import ChoiceQuestion, Words, likelihood, load_choice_template
from describe.scoring.measures import balanced_accuracy, mean_over_heads
from describe.scoring.rows import Trial, draw_trial, matched, seen

__all__ = [
    "METHOD",
    "SETTINGS",
    "WORDS_METHOD",
    "AgreementQuestion",
    "ChoiceQuestion",
    "JudgeQuestion",
    "Judgement",
    "StatisticsJudge",
    "Trial",
    "Words",
    "balanced_accuracy",
    "detection",
    "draw_trial",
    "likelihood",
    "load_agreement_template",
    "load_choice_template",
    "load_judge_template",
    "matched",
    "mean_over_heads",
    "seen",
    "shared_words",
]
