#!/bin/sh
# Is it up, is it the tuned model, does it answer? Exit code 0: yes. smoke.json is one picture as the API wants it.
set -eu
cd "$(dirname "$0")"
. ./.env
host=$LISTEN
[ "$host" = 0.0.0.0 ] && host=127.0.0.1
fail() {
  echo "error: $1" >&2
  echo "hint: docker compose ps; docker compose logs --tail 50" >&2
  exit 3
}
curl -fsS "http://$host:$VLM_PORT/health" >/dev/null || fail "the model's server does not answer on port $VLM_PORT"
curl -fsS "http://$host:$VLM_PORT/v1/models" | grep -q '"PaddleOCR-VL-0.9B"' || fail "port $VLM_PORT does not serve PaddleOCR-VL-0.9B"
curl -fsS "http://$host:$API_PORT/health" >/dev/null || fail "the API does not answer on port $API_PORT"
answer=$(curl -fsS -H "Content-Type: application/json" -d @smoke.json "http://$host:$API_PORT/layout-parsing") ||
  fail "the API refuses a picture"
case $answer in
*'"errorCode":0'*) ;;
*) fail "the API answers with an error: $(printf %.300s "$answer")" ;;
esac
echo "served: PaddleOCR-VL-0.9B; one picture was read"
