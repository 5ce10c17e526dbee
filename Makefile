# The verbs of a day. `make help` lists them; `sft --help` has the rest.
SHELL := /bin/sh
SFT := .venv/bin/sft
DATA ?= bengali
# the newest model that was exported
MODEL_DIR ?= $(or $(shell ls -td runs/*/model/sft-export.json 2>/dev/null | sed -n '1s:/[^/]*$$::p'),no-model-yet)
# NAME and PORT of the command line alone: many shells have such variables in their environment, for other things.
given = $(if $(findstring command,$(origin $(1))),$($(1)))
URL ?= http://127.0.0.1:$(or $(call given,PORT),8118)
# the newest run
RUN ?= $(or $(shell ls -td runs/*/config.yaml 2>/dev/null | sed -n '1s:/[^/]*$$::p'),no-run-yet)
# $(call switch,NAME): "1" where the variable is on, nothing where it is off, an error where it is neither.
ON := 1 yes Yes YES true True TRUE on On ON
OFF := 0 no No NO false False FALSE off Off OFF
switch = $(if $(filter-out $(ON) $(OFF),$($(1))),$(error $(1)=$($(1)) is neither on (1, yes, true) nor off (0, no, \
  false)))$(if $(filter $(ON),$($(1))),1)
# Only what was said is passed on; the rest is chosen by `sft run` and said aloud.
FLAGS = $(if $(ENGINE),--engine $(ENGINE)) $(if $(MODEL),--model "$(MODEL)") $(if $(EPOCHS),--epochs $(EPOCHS)) \
  $(if $(GPUS),--gpus $(GPUS)) $(if $(BATCH),--batch $(BATCH)) $(if $(ACCUM),--accum $(ACCUM)) $(if $(LR),--lr $(LR)) \
  $(if $(MAX_STEPS),--max-steps $(MAX_STEPS)) $(if $(CONFIG),--config "$(CONFIG)") \
  $(if $(call switch,REHEARSAL),--rehearsal)
# A misspelt variable is an error: make itself would ignore it.
VARIABLES := FORMAT SOURCE OUT DATA TEST ENGINE MODEL EPOCHS GPUS BATCH ACCUM LR MAX_STEPS CONFIG REHEARSAL MODEL_DIR \
  RUN URL PORT NAME BASE TUNED GATE SURE
KNOWN := $(VARIABLES) SFT PYTHON SHELL
GIVEN := $(foreach word,$(MAKEOVERRIDES),$(if $(findstring =,$(word)),$(firstword $(subst =, ,$(word)))))
$(foreach name,$(filter-out $(KNOWN),$(GIVEN)),$(error unknown variable $(name); known: $(KNOWN)))
.DEFAULT_GOAL := help
.PHONY: help train test eval compare compare-models curve serve tensorboard convert validate setup env-train env-serve \
  image check bench clean clean-all

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "variables: $(VARIABLES)"

train: ## the whole job on DATA (default: the sample that ships): train, export, serve, score, report
	@test -f .venv/sft-stamp || PATH="$$PATH:/usr/lib/wsl/lib" nvidia-smi -L >/dev/null 2>&1 || \
	  echo "REHEARSAL (no NVIDIA GPU here): after set-up, a tiny PaddleOCR-VL is trained on the CPU" >&2
	@seconds=$$(scripts/setup) && $(SFT) run "$(DATA)" $(if $(TEST),--test "$(TEST)") --setup-seconds "$$seconds" $(FLAGS)

test: setup ## set up and pass the tests
	@$(MAKE) --no-print-directory -j2 env-train env-serve
	@.venv/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

eval: setup ## score a running server on DATA (a folder, name or suite): make eval DATA=smoke NAME=base
	@$(SFT) eval "$(DATA)" --url "$(URL)" $(if $(call given,NAME),--name "$(NAME)")

compare: setup ## which of two runs is better, what was forgotten: make compare BASE=base TUNED=tuned GATE=my.yaml
	@$(SFT) compare "base=$(if $(findstring /,$(BASE)),$(BASE),runs/eval/$(or $(BASE),base))" \
	  "tuned=$(if $(findstring /,$(TUNED)),$(TUNED),runs/eval/$(or $(TUNED),tuned))" \
	  -o "$(or $(OUT),runs/compare)" $(if $(GATE),--gate "$(GATE)")

compare-models: setup ## serve BASE and TUNED one after the other, score, compare: BASE=0.9B TUNED=runs/x DATA=mine
	@$(SFT) compare-models $(if $(BASE),"base=$(BASE)") "tuned=$(or $(TUNED),$(MODEL_DIR))" \
	  $(if $(filter command environment,$(origin DATA)),--data "$(DATA)") $(if $(OUT),-o "$(OUT)") \
	  $(if $(GATE),--gate "$(GATE)")

curve: setup ## score every checkpoint of RUN (default: the newest), say which to take: make curve RUN=runs/a DATA=tasks
	@$(SFT) curve "$(RUN)" $(if $(filter command environment,$(origin DATA)),--data "$(DATA)") $(if $(OUT),-o "$(OUT)")

serve: setup ## serve MODEL_DIR (default: the model of the newest run)
	@$(SFT) serve "$(MODEL_DIR)" $(addprefix --port ,$(call given,PORT))

tensorboard: setup ## curves of all runs (PORT=6006)
	@.venv/bin/tensorboard --logdir runs --port $(or $(call given,PORT),6006)

convert: setup ## labels become samples: make convert FORMAT=ppocrlabel SOURCE=photos/Label.txt OUT=mine.jsonl
	@$(SFT) convert $(if $(FORMAT),"$(FORMAT)" "$(SOURCE)" -o "$(or $(OUT),data.jsonl)",--list)

validate: setup ## check DATA row by row: make validate DATA=mine.jsonl
	@$(SFT) validate "$(DATA)"

setup: ## the workbench's own environment (.venv)
	@scripts/setup >/dev/null

env-train: setup ## the trainer's environment on a CPU (.venv-trainer)
	@$(SFT) env trainer >/dev/null

env-serve: setup ## the server's environment on a CPU (.venv-server)
	@$(SFT) env server >/dev/null

image: setup ## the training container for this machine's GPU
	@$(SFT) image

check: setup ## style, types, floors
	@scripts/check

bench: setup ## speed against peers, in one run
	@for name in otsl validate metrics scoring; do echo "== $$name"; .venv/bin/python scripts/bench/$$name; done

clean: ## remove what the next command makes again: drawn samples, build/, caches
	rm -rf build datasets/*/sample .mypy_cache .ruff_cache .pytest_cache .hypothesis

clean-all: clean ## and runs, trained and downloaded models: shows their sizes, SURE=1 removes them
	@for path in runs models; do if [ -e $$path ]; then du -sh $$path/* | sort -rh | head -20; fi; done
	$(if $(call switch,SURE),rm -rf runs models,@echo "runs and models stay; SURE=1 removes them" >&2; exit 2)
