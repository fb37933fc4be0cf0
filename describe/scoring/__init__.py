"""How far descriptions are true of rows that their authors never saw."""

from describe.scoring.agreement import WORDS_METHOD, AgreementQuestion, load_agreement_template, shared_words
from describe.scoring.detection import Judgement, JudgeQuestion, detection
from describe.scoring.evidence import METHOD, SETTINGS, StatisticsJudge
from describe.scoring.likelihood import ChoiceQuestion, likelihood
from describe.scoring.measures import balanced_accuracy, grouping, mean_over_heads
from describe.scoring.questions import MeasureQuestions, questions_of
from describe.scoring.rows import Case, Trial, Words, draw_trial, matched, seen, swapped_trial, without_named

__all__ = [
    "METHOD",
    "SETTINGS",
    "WORDS_METHOD",
    "AgreementQuestion",
    "Case",
    "ChoiceQuestion",
    "JudgeQuestion",
    "Judgement",
    "MeasureQuestions",
    "StatisticsJudge",
    "Trial",
    "Words",
    "balanced_accuracy",
    "detection",
    "draw_trial",
    "grouping",
    "likelihood",
    "load_agreement_template",
    "matched",
    "mean_over_heads",
    "questions_of",
    "seen",
    "shared_words",
    "swapped_trial",
    "without_named",
]
