#!/bin/sh
# sacrebleu 2.5.1: the corpus BLEU of a perfect set of formulas shorter than four tokens is 0, since no 4-gram exists
# and corpus_bleu does not shorten the order; sentence_bleu does by default. A score of formulas needs
# effective_order, or a set that holds longer ones. Seen: corpus 0.0, sentence 100.0.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'sacrebleu==2.5.1'
"$work/venv/bin/python" - <<'PY'
import sacrebleu

answers = ["x ^ 2", "a + b", "y = 1"]
corpus = sacrebleu.corpus_bleu(answers, [answers], tokenize="none").score
sentence = sacrebleu.sentence_bleu(answers[0], [answers[0]], tokenize="none").score
print(f"corpus {corpus}, sentence {sentence:.1f}")
assert corpus == 0.0 and round(sentence, 1) == 100.0
PY
