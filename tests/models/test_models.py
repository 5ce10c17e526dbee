"""One record per version: what its chat template renders is what the released template renders."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment
from places import TESTS

from sft.errors import UsageError
from sft.models import versions
from sft.models.chat_template import chat_template, render_prompt
from sft.models.versions import MODELS, ModelVersion, find, get
from sft.types import Task

GOLDEN: dict[str, dict[str, dict[str, Any]]] = json.loads((TESTS / "golden" / "chat_templates.json").read_text("utf-8"))
RELEASED = [(name, title) for name, cases in GOLDEN.items() for title in cases]
every_version = pytest.mark.parametrize("version", MODELS.values(), ids=lambda version: version.name)


def render(version: ModelVersion, messages: list[dict[str, Any]], **more: Any) -> str:
    """As Transformers and vLLM do it."""
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(chat_template(version)).render(
        messages=messages, **{"add_generation_prompt": True, **more}
    )


def user(prompt: str, images: int = 1) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "image"}] * images + [{"type": "text", "text": prompt}]}]


def test_golden_file_knows_every_version() -> None:
    assert set(GOLDEN) == {version.served_name for version in MODELS.values()}
    assert all(len(cases) >= 4 for cases in GOLDEN.values())


@pytest.mark.parametrize(("name", "title"), RELEASED)
def test_template_renders_what_the_released_one_renders(name: str, title: str) -> None:
    version = next(version for version in MODELS.values() if version.served_name == name)
    case = GOLDEN[name][title]
    assert render(version, case["messages"]) == case["rendered"]


@every_version
@pytest.mark.parametrize("images", [0, 1, 2])
def test_render_prompt_is_the_template(version: ModelVersion, images: int) -> None:
    for prompt in version.prompts.values():
        assert render(version, user(prompt, images)) == render_prompt(version, prompt, images=images)


@every_version
def test_string_content(version: ModelVersion) -> None:
    assert render(version, [{"role": "user", "content": "OCR:"}]) == render_prompt(version, "OCR:", images=0)
    turns = [
        {"role": "system", "content": "be exact"},
        {"role": "user", "content": "OCR:"},
        {"role": "assistant", "content": "a"},
    ]
    expected = f"{versions.BEGIN}be exact\nUser: OCR:{version.prompt_end}a{versions.EOS}"
    assert render(version, turns, add_generation_prompt=False) == expected


@every_version
def test_template_takes_the_tokenizers_names(version: ModelVersion) -> None:
    text = render(
        version,
        [*user("OCR:"), {"role": "assistant", "content": "a"}],
        cls_token="<cls>",
        eos_token="<end>",
        add_generation_prompt=False,
    )
    assert text.startswith("<cls>User: ")
    assert text.endswith(f"OCR:{version.prompt_end}a<end>")


@every_version
def test_image_url_is_an_image(version: ModelVersion) -> None:
    sent = [
        {
            "role": "user",
            "content": [{"type": "text", "text": "OCR:"}, {"type": "image_url", "image_url": {"url": "data:"}}],
        }
    ]
    assert render(version, sent) == render_prompt(version, "OCR:")  # images first, wherever the client put them


@every_version
def test_find(version: ModelVersion) -> None:
    names = {version.name, version.hub_id, *version.aliases}
    assert len(names) >= 4
    for name in names:
        assert find(name) is find(name.upper()) is find(name.lower()) is get(name) is version


def test_names_are_unambiguous() -> None:
    names = [name.lower() for version in MODELS.values() for name in {version.name, version.hub_id, *version.aliases}]
    assert len(names) == len(set(names))
    assert all(key == version.name for key, version in MODELS.items())
    assert len({version.served_name for version in MODELS.values()}) == len(MODELS)


def test_unknown_name() -> None:
    assert find("Qwen2-VL") is None
    with pytest.raises(UsageError, match="no model version called '1.55'") as caught:
        get("1.55")
    assert caught.value.hint == "did you mean 1.5 ? known versions: 0.9B, 1.5, 1.6"
    with pytest.raises(UsageError) as caught:
        get("zzz")
    assert caught.value.hint == "known versions: 0.9B, 1.5, 1.6"


@every_version
def test_record(version: ModelVersion) -> None:
    assert version.prompts[Task.OCR] == "OCR:"
    assert version.prompt_end.startswith("\nAssistant:")
    assert all(prompt.endswith(":") for prompt in version.prompts.values())
    assert (version.min_pixels is None) is (version.max_pixels is None)
    if version.min_pixels and version.max_pixels:
        assert versions.FACTOR**2 <= version.min_pixels < version.max_pixels
    with pytest.raises(TypeError):
        version.prompts[Task.OCR] = "Read:"  # type: ignore[index]
