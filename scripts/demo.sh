#!/usr/bin/env bash
# The whole road on data that needs no network: scanned digits become a pushed model; a hundred
# reviews, far too few to learn from, become a model that the accuracy gate refuses.
# Succeeds exactly when both happen. DEMO_DIR (default data/demo) receives everything.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

out=${DEMO_DIR:-data/demo}
profile=${DEMO_PROFILE:-demo}
start=$SECONDS

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
run() { printf '$ beam_runner.py %s\n' "$*"; python beam_runner.py "$@"; }
must() { run "$@" || { printf '\ndemo: FAILED: `%s` left with status %s\n' "$*" "$?"; exit 1; }; }

mkdir -p "$out"
reviews=()
if ! python -c 'from pipelines.augment import registry; registry.get("synonym_replace").resources()' 2>/dev/null; then
    echo 'WordNet is not installed (make corpora): reviews get swaps and deletions, no synonyms.'
    reviews=(--set 'policy={slots: [{op: random_swap, rate: 0.03}, {op: random_delete, rate: 0.05}]}')
fi

say 'Images: 1,797 scanned digits, three augmented copies'
must materialize digits --output "$out"
digits=$(ls -td "$out"/digits/*/ | head -1)
must show "${digits%/}" --sheet "$out/digits-sheet.png"
must verify "${digits%/}"

say 'Text: 100 reviews, three augmented copies'
must materialize reviews_sample --output "$out" "${reviews[@]}"

say 'Refresh the digits model: it passes its gates and is pushed'
must refresh digits --output "$out" --root "$out/refresh" --profile "$profile"

say 'Refresh the reviews model: its gate must refuse'
run refresh reviews_sample --output "$out" --root "$out/refresh" --profile "$profile" "${reviews[@]}"
status=$?
if [ "$status" != 3 ]; then
    printf '\ndemo: FAILED: the reviews model should have been refused (status 3), got %s\n' "$status"
    exit 1
fi

printf '\ndemo: done in %s s: one model pushed, one refused. Look at %s, %s and %s\n' \
    "$((SECONDS - start))" "$out/digits-sheet.png" "$out/refresh" "${digits%/}/manifest.json"
