#!/usr/bin/env bash
# Measures rotations under load from `wrk` (64 connections, 2 threads), on the floor of `benches/http` and on Hookturn in
# turn, and prints the median of the rates. It checks the results of the project's own generator, which runs on one thread
# and costs less.
#
#   benches/wrk/run.sh [memory|sqlite] [ROUNDS (5)] [SECONDS (2)]
#
# Needs wrk, curl and a release build of hookturn. It builds the benchmark if needed.
set -euo pipefail
cd "$(dirname "$0")/../.."
store=${1:-memory} rounds=${2:-5} seconds=${3:-2}
key=bench-key-0123456789

floor=$(cargo bench --locked --bench http --no-run 2>&1 | sed -n 's/.*Executable .*(\(.*\))/\1/p')
work=$(mktemp -d -p target)
servers=()
trap 'kill "${servers[@]}" 2>/dev/null; wait; rm -rf "$work"' EXIT

"$floor" serve-the-floor 18081 &
servers+=($!)
if [ "$store" = memory ]; then url=memory: ; else url=sqlite:$work/bench.db; fi
target/release/hookturn serve --listen 127.0.0.1:18082 --api-key bench=$key --rate-limit off --dev --log warn \
  --store "$url" --master-key bench:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8= &
servers+=($!)
for port in 18081 18082; do
  curl --silent --output /dev/null --retry 50 --retry-connrefused --retry-delay 1 "http://127.0.0.1:$port/healthz"
done
for _ in $(seq 100); do
  answer=$(curl --silent --json '{"url":"https://receiver.example/hook"}' -H "Authorization: Bearer $key" \
    http://127.0.0.1:18082/webhooks/endpoints)
  echo "$answer" | sed -n 's/^{"id":"\([^"]*\)".*/\1/p'
done > "$work/endpoints"

load() { # PORT NAME
  wrk -t2 -c64 "-d$seconds" -s benches/wrk/rotate.lua "http://127.0.0.1:$1" | tail -1 | tee -a "$work/$2" | sed "s/^/$2: /"
}
for _ in $(seq "$rounds"); do
  load 18081 floor
  ENDPOINTS=$work/endpoints load 18082 hookturn
done
if grep -v ' 0 not answered with 2xx, 0 broken' "$work/floor" "$work/hookturn"; then
  echo "these rounds do not count" >&2
  exit 1
fi
median() { cut -d' ' -f1 "$work/$1" | sort -n | sed -n "$(((rounds + 1) / 2))p"; }
awk -v ours="$(median hookturn)" -v floors="$(median floor)" -v store="$store" \
  'BEGIN { printf "median, %s: %d/s of the floor'\''s %d/s: %.2f\n", store, ours, floors, ours / floors }'
