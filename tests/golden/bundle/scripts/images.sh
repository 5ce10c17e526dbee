#!/bin/sh
# The images on a machine without a network. There: sh images.sh load. Where there is one, before: sh images.sh save
set -eu
cd "$(dirname "$0")"
case "${1:-}" in
save)
  docker compose pull
  docker compose config --images | sort -u | xargs docker save -o images.tar.part
  mv images.tar.part images.tar
  echo "images.tar is written; take this whole folder to the other machine and run: sh images.sh load" >&2
  ;;
load)
  [ -f images.tar ] || { echo "error: images.tar is not here; 'sh images.sh save' writes it" >&2; exit 2; }
  docker load -i images.tar
  ;;
*)
  echo "usage: sh images.sh save|load" >&2
  exit 2
  ;;
esac
