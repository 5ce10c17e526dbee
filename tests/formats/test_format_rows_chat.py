"""Conversations and the hub: nothing is lost on either way, and nothing that would be learned differently comes
through.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from places import TESTS

from sft.convert.driver import convert
from sft.convert.worker import ConvertRequest
from sft.errors import RowRejected
from sft.formats import get
from sft.formats.base import HubRow, Item, ReadItem, Reject, SourceOptions
from sft.formats.messages import usual
from sft.formats.shared.conversations import from_messages, same, to_messages
from sft.runtime.runner import Runner
from sft.types import Task

USER, ANSWER = {"role": "user", "content": "<image>OCR:"}, {"role": "assistant", "content": "৪৫টি"}
ROW: dict[str, Any] = {"messages": [USER, ANSWER], "images": ["0.png"]}
HUB: dict[str, Any] = {
    "image_info": [{"image_url": "0.png", "matched_text_index": 0}],
    "text_info": [{"text": "OCR:", "tag": "mask"}, {"text": "৪৫টি", "tag": "no_mask"}],
}
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(90)).decode()


def reads(name: str, path: Path, **options: Any) -> list[ReadItem]:
    chosen = SourceOptions(**options)
    found = get(name)
    return [read for unit in found.units(path, chosen) for read in found.read(unit, chosen)]


def jsonl(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return path


def code_of(row: dict[str, Any]) -> str:
    with pytest.raises(RowRejected) as caught:
        from_messages(usual(row))
    return str(caught.value.code)


# values

KEY = st.text(alphabet="abcxyz_", min_size=1, max_size=6).map(lambda key: f"x_{key}")
LEAF = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
)
VALUE = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
EXTRA: st.SearchStrategy[dict[str, Any]] = st.dictionaries(KEY, VALUE, max_size=2)
TEXT = st.text(max_size=12).filter(lambda text: "<image>" not in text)
PATH = st.text(alphabet="ab/.০", min_size=1, max_size=8)
META = VALUE | EXTRA | st.fixed_dictionaries({"messages": VALUE}) | st.fixed_dictionaries({"erniekit": VALUE})
SHARED: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {}, optional={"id": VALUE, "source": VALUE, "meta": META}
)


PARTS = st.dictionaries(st.sampled_from(["role", "content", "text", "tag", "type"]), VALUE, max_size=3)
NONSENSE = st.dictionaries(
    st.sampled_from(["messages", "images", "meta", "text_info", "image_info", "system"]),
    VALUE | st.lists(PARTS, max_size=3),
)


@st.composite
def hub_rows(draw: st.DrawFn) -> dict[str, Any]:
    tags = draw(st.lists(st.sampled_from(["mask", "no_mask"]), min_size=0, max_size=4))
    texts = [{**draw(EXTRA), "text": draw(TEXT), "tag": tag} for tag in ["mask", *tags]]
    prompts = [index for index, text in enumerate(texts) if text["tag"] == "mask"]
    images: list[dict[str, Any]] = []
    for _ in range(draw(st.integers(1, 4))):
        index = draw(st.sampled_from(prompts))
        place = {} if index == 0 and draw(st.booleans()) else {"matched_text_index": index}
        images.append({**draw(EXTRA), "image_url": draw(PATH), **place})
    rest: dict[str, Any] = {**draw(EXTRA), **draw(SHARED)}
    return {**rest, "text_info": texts, "image_info": images}


@st.composite
def message_rows(draw: st.DrawFn) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    images: list[str] = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(st.sampled_from(["", " \n"]))})
    roles: list[str] = ["user", *draw(st.lists(st.sampled_from(["user", "assistant"]), max_size=3))]
    for role in roles:
        marks = (draw(st.integers(1, 2)) if not images else draw(st.integers(0, 2))) if role == "user" else 0
        blocks = draw(st.booleans())
        texts = draw(st.lists(TEXT, min_size=1, max_size=3))
        content: Any
        if blocks:
            content = []
            for _ in range(marks):
                path = draw(PATH)
                kind = draw(st.sampled_from(["openai", "openai-str", "image", "anthropic", "bare"]))
                content.append(
                    {
                        "openai": {"type": "image_url", "image_url": {"url": path, "detail": "low"}},
                        "openai-str": {"type": "image_url", "image_url": path},
                        "image": {"type": "image", "image": path},
                        "anthropic": {"type": "image", "source": {"type": "url", "url": path}},
                        "bare": {"type": "image"},
                    }[kind]
                )
                images += [path] if kind == "bare" else []
            content += [{"type": "text", "text": text} for text in texts]
        else:
            images += [draw(PATH) for _ in range(marks)]
            content = "<image>" * marks + texts[0]
        loss = {"loss": True} if role == "assistant" and draw(st.booleans()) else {}
        messages.append({**draw(EXTRA), "role": role, "content": content, **loss})
    ways: list[Any] = [lambda path: path, lambda path: {"path": path}, lambda path: {"path": path, "bytes": None}]
    entries: Any = [draw(st.sampled_from(ways))(path) for path in images]
    if len(entries) == 1 and draw(st.booleans()):
        entries = entries[0]
    key = draw(st.sampled_from(["images", "image"]))
    rest: dict[str, Any] = {**draw(EXTRA), **draw(SHARED)}
    listed: bool = draw(st.booleans())
    return {**rest, "messages": messages, **({key: entries} if images or listed else {})}


@settings(max_examples=250, deadline=None)
@given(hub_rows())
def test_hub_rows_come_back_from_messages(row: dict[str, Any]) -> None:
    there = to_messages(row)
    back, images = from_messages(there)
    assert same(back, row), there
    assert images == [image["image_url"] for image in row["image_info"]]


@settings(max_examples=250, deadline=None)
@given(message_rows())
def test_messages_come_back_from_the_hub(row: dict[str, Any]) -> None:
    there, images = from_messages(row)
    assert same(to_messages(there), row), there
    assert images == [image["image_url"] for image in there["image_info"]]


@settings(max_examples=100, deadline=None)
@given(message_rows(), st.data())
def test_edited_rows_keep_the_edit(row: dict[str, Any], data: st.DataObject) -> None:
    """Cleaning a text or moving an image between the two ways is what a converter is for."""
    there, _ = from_messages(row)
    text = data.draw(st.sampled_from(there["text_info"]))
    text["text"] = data.draw(TEXT)
    there["image_info"][0]["image_url"] = "moved.png"
    assert same(from_messages(to_messages(there))[0], there)


@settings(max_examples=300, deadline=None)
@given(NONSENSE)
def test_nonsense_has_a_reason(row: dict[str, Any]) -> None:
    for function in (from_messages, to_messages):
        try:
            function(row)
        except RowRejected as error:
            assert error.code in ("source.shape", "source.inexpressible", "trainer.no_image")


def test_the_usual_rows_are_each_other() -> None:
    assert from_messages(ROW) == (HUB, ["0.png"])
    assert to_messages(HUB) == ROW
    assert to_messages({"id": 7, **HUB, "source": "a:1", "meta": {"group": "p"}}) == {
        "id": 7,
        **ROW,
        "source": "a:1",
        "meta": {"group": "p"},
    }


def test_order_and_extra_keys_of_images_are_kept() -> None:
    texts = [{"text": "a", "tag": "mask"}, {"text": "b", "tag": "no_mask"}, {"text": "c", "tag": "mask"}]
    hub = {
        "text_info": texts,
        "image_info": [{"image_url": "2.png", "matched_text_index": 2}, {"image_url": "0.png", "image_width": 9}],
    }
    there = to_messages(hub)
    assert there["images"] == ["0.png", "2.png"] and [message["content"] for message in there["messages"]] == [
        "<image>a",
        "b",
        "<image>c",
    ]
    assert same(from_messages(there)[0], hub)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"messages": [{"role": "system", "content": "You are an OCR engine."}, USER, ANSWER]}, "source.inexpressible"),
        ({"system": "You are an OCR engine."}, "source.inexpressible"),
        ({"messages": [{"role": "user", "content": "OCR:<image>"}, ANSWER]}, "source.inexpressible"),
        (
            {"messages": [{"role": "user", "content": "<image>\n<image>OCR:"}, ANSWER], "images": ["0.png", "1.png"]},
            "source.inexpressible",
        ),
        (
            {"messages": [USER, {"role": "assistant", "content": "<image>"}], "images": ["0.png", "1.png"]},
            "source.inexpressible",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "OCR:"}, {"type": "image", "image": "0.png"}],
                    },
                    ANSWER,
                ],
                "images": [],
            },
            "source.inexpressible",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "<image>OCR:"}],
                    },
                    ANSWER,
                ]
            },
            "source.inexpressible",
        ),
        ({"messages": [USER, {**ANSWER, "loss": False}]}, "source.inexpressible"),
        ({"messages": [USER, {**ANSWER, "loss_scale": 0.5}]}, "source.inexpressible"),
        ({"messages": [USER, {**ANSWER, "weight": 0}]}, "source.inexpressible"),
        ({"messages": [{**USER, "loss": True}, ANSWER]}, "source.inexpressible"),
        ({"messages": [USER, {**ANSWER, "tool_calls": [{"name": "zoom"}]}]}, "source.inexpressible"),
        ({"messages": [USER, {"role": "tool", "content": "1"}, ANSWER]}, "source.inexpressible"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}, ANSWER]}, "source.inexpressible"),
        ({"label": False}, "source.inexpressible"),
        ({"videos": ["a.mp4"]}, "source.inexpressible"),
        ({"tools": [{"name": "zoom"}]}, "source.inexpressible"),
        ({"objects": {"ref": ["a"], "bbox": [[1, 2, 3, 4]]}}, "source.inexpressible"),
        ({"images": []}, "source.shape"),
        ({"images": ["0.png", "1.png"]}, "source.shape"),
        ({"images": [3]}, "source.shape"),
        ({"images": [{"path": None, "bytes": None}]}, "source.shape"),
        ({"messages": [{"role": "user", "content": "OCR:"}, ANSWER], "images": None}, "trainer.no_image"),
        ({"messages": [{"role": "narrator", "content": "OCR:"}]}, "source.shape"),
        ({"messages": [{"role": ["user"], "content": "OCR:"}]}, "source.shape"),
        ({"messages": [USER, {"role": "assistant", "content": None}]}, "source.shape"),
        ({"messages": [USER, "answer"]}, "source.shape"),
        ({"messages": []}, "source.shape"),
        ({"messages": "[]"}, "source.shape"),
    ],
)
def test_what_the_hub_has_no_place_for(change: dict[str, Any], code: str) -> None:
    assert code_of({**ROW, **change}) == code


@pytest.mark.parametrize(
    "change",
    [
        {"rejected_response": "45"},
        {"label": True},
        {"channel": "a"},
        {"videos": []},
        {"system": None},
        {"meta": [1]},
        {"messages": [USER]},
        {"messages": [USER, USER | {"content": "again"}, ANSWER]},
        {"messages": [USER, {**ANSWER, "loss": 1.0, "name": "a"}]},
    ],
)
def test_what_is_kept(change: dict[str, Any]) -> None:
    row = {**ROW, **change}
    hub, _ = from_messages(row)
    assert same(to_messages(hub), row)


@pytest.mark.parametrize(
    "hub",
    [
        {**HUB, "is_system": 1},
        {**HUB, "is_video": True},
        {**HUB, "image_info": [{"image_url": "0.png", "matched_text_index": 1}]},
        {**HUB, "image_info": [{"image_url": "0.png", "matched_text_index": 7}]},
        {**HUB, "text_info": [{"text": "see <image>", "tag": "mask"}]},
    ],
)
def test_what_messages_have_no_place_for(hub: dict[str, Any]) -> None:
    with pytest.raises(RowRejected) as caught:
        to_messages(hub)
    assert caught.value.code == "source.inexpressible"


@pytest.mark.parametrize(
    ("row", "contents"),
    [
        (
            {"query": "<image>OCR:", "response": "c", "images": "0.png", "history": [["a", "b"]]},
            ["a", "b", "<image>OCR:", "c"],
        ),
        ({"query": "<image>OCR:", "response": "c", "images": ["0.png"], "history": None}, ["<image>OCR:", "c"]),
        (
            {
                "conversation": [{"human": "<image>OCR:", "assistant": "c"}, {"human": "d", "assistant": "e"}],
                "images": ["0.png"],
            },
            ["<image>OCR:", "c", "d", "e"],
        ),
        (
            {"instruction": "<image>OCR:", "input": "carefully", "output": "c", "images": ["0.png"]},
            ["<image>OCR:\ncarefully", "c"],
        ),
        (
            {"instruction": "<image>OCR:", "input": "", "output": "c", "images": ["0.png"], "system": ""},
            ["<image>OCR:", "c"],
        ),
    ],
)
def test_other_shapes(row: dict[str, Any], contents: list[str]) -> None:
    hub, images = from_messages(usual(row))
    assert [message["content"] for message in to_messages(hub)["messages"]] == contents
    assert images == ["0.png"]


@pytest.mark.parametrize(
    "row",
    [
        {"query": None, "response": "c", "images": ["0.png"]},
        {"query": "<image>", "response": ["a", "b"], "images": ["0.png"]},
        {"query": "<image>", "response": "c", "history": "[]"},
        {"conversation": [{"human": "a"}]},
        {"conversation": "a"},
        {"instruction": 3, "output": "c"},
        {"text": "c"},
        {},
    ],
)
def test_other_shapes_that_are_none(row: dict[str, Any]) -> None:
    assert code_of(row) == "source.shape"


def test_messages_from_a_file(tmp_path: Path) -> None:
    inline = {
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                    {"type": "text", "text": "OCR:"},
                ],
            },
            ANSWER,
        ]
    }
    rows = [
        ROW,
        {**ROW, "images": [{"bytes": PNG, "path": None}]},
        inline,
        {**ROW, "images": [f"data:image/png;base64,{PNG}"]},
        {**ROW, "images": ["https://x.example/0.png"]},
    ]
    bad = [
        {**ROW, "images": ["a\0.png"]},
        {**ROW, "images": [{"bytes": "%%%"}]},
        {**ROW, "images": ["data:image/svg+xml,<svg/>"]},
        {"text_info": []},
    ]
    for suffix in ("jsonl", "json"):
        path = tmp_path / f"rows.{suffix}"
        path.write_text(
            json.dumps(rows + bad) if suffix == "json" else "".join(json.dumps(row) + "\n" for row in rows + bad)
        )
        found = reads("messages", path)
        good = [read for read in found if isinstance(read, HubRow)]
        assert [read.where for read in good] == (
            [f"rows.json[{index}]" for index in range(5)]
            if suffix == "json"
            else [f"rows.jsonl:{line}" for line in range(1, 6)]
        )
        assert good[0].row == HUB and good[0].pictures[0].path == tmp_path / "0.png"
        assert all(read.pictures[0].data == base64.b64decode(PNG) for read in good[1:4])
        assert good[4].pictures[0].url == "https://x.example/0.png"
        assert [read.code for read in found if isinstance(read, Reject)] == [
            "source.outside",
            "image.unreadable",
            "image.unreadable",
            "source.shape",
        ]


def test_erniekit_rows_are_kept_whole(tmp_path: Path) -> None:
    texts = [{"text": " OCR:\n", "tag": "mask", "x": 1.0}, {"text": "", "tag": "no_mask"}]
    odd = {
        "order": {"type": [1]},
        "image_info": [
            {"image_url": str(tmp_path / "a b.png"), "image_width": 12345678901234567890123, "is_valid": True}
        ],
        "text_info": texts,
    }
    path = jsonl(tmp_path / "rows.jsonl", HUB, odd, {"query": "<image>OCR:", "response": "৪৫টি", "images": ["0.png"]})
    found = reads("erniekit", path)
    assert [read.row for read in found if isinstance(read, HubRow)][:2] == [HUB, odd]
    assert isinstance(found[1], HubRow) and found[1].pictures[0].path == tmp_path / "a b.png"
    assert isinstance(found[2], HubRow) and found[2].row["text_info"] == HUB["text_info"]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"text_info": [], "image_info": []}', "structure.text_info"),
        (b'{"text_info": [{"text": "a", "tag": "user"}], "image_info": [{"image_url": "0.png"}]}', "trainer.tag"),
        (b'{"text_info": [{"text": null, "tag": "mask"}], "image_info": [{"image_url": "0.png"}]}', "trainer.text"),
        (b'{"text_info": [{"text": "a", "tag": "mask"}], "image_info": null}', "trainer.no_image"),
        (
            (
                b'{"text_info": [{"text": "a", "tag": "mask"}], "image_info": [{"image_url": "0.png",'
                b' "matched_text_index": true}]}'
            ),
            "structure.matched_text_index",
        ),
        (
            b'{"text_info": [{"text": "a", "tag": "mask"}], "image_info": [{"image_url": "a\\u0000.png"}]}',
            "source.outside",
        ),
        (
            b'{"text_info": [{"text": "a", "tag": "mask"}], "image_info": [{"image_url": "data:image/png;base64,%%"}]}',
            "image.unreadable",
        ),
        (
            b'{"a": 1, "a": 2, "text_info": [{"text": "a", "tag": "mask"}], "image_info": [{"image_url": "0.png"}]}',
            "structure.duplicate_key",
        ),
        (
            b'{"a": NaN, "text_info": [{"text": "a", "tag": "mask"}], "image_info": [{"image_url": "0.png"}]}',
            "source.syntax",
        ),
        (
            b'{"a": 1e999, "text_info": [{"text": "a", "tag": "mask"}], "image_info": [{"image_url": "0.png"}]}',
            "source.syntax",
        ),
        (b'{"a": "\\ud800"}', "source.encoding"),
        (b'{"a": "\xff"}', "source.encoding"),
        (b"[" * 10000, "source.syntax"),
        (b'{"a":' * 100000, "source.too_large"),
        (b"[1, 2]", "source.shape"),
        (b'{"text_info": ', "source.syntax"),
        (b"\x00\x00", "source.syntax"),
    ],
)
@pytest.mark.parametrize("name", ["erniekit", "messages", "llava"])
def test_bad_lines_cost_themselves(tmp_path: Path, name: str, line: bytes, code: str) -> None:
    good = {
        "erniekit": HUB,
        "messages": ROW,
        "llava": {
            "image": "0.png",
            "conversations": [{"from": "human", "value": "<image>\nOCR:"}, {"from": "gpt", "value": "a"}],
        },
    }[name]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(good).encode() + b"\r\n\n" + line + b"\n" + json.dumps(good).encode())
    first, bad, last = reads(name, path)
    assert not isinstance(first, Reject) and not isinstance(last, Reject)
    assert isinstance(bad, Reject) and bad.where == "rows.jsonl:3"
    if name == "erniekit" or not line.startswith((b'{"text', b'{"a": 1, ')):
        assert bad.code in (code, "source.too_large") if line.startswith(b"[[") else bad.code == code
    else:
        assert bad.code in ("source.shape", code)


def test_a_broken_element_of_an_array_costs_itself(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(
        b"[" + json.dumps(HUB).encode() + b', {"text_info": [,]}, 7,\n' + json.dumps(HUB).encode() + b', {"trunc'
    )
    found = reads("erniekit", path)
    assert [read.code if isinstance(read, Reject) else "row" for read in found] == [
        "row",
        "source.syntax",
        "source.shape",
        "row",
        "source.syntax",
    ]


# LLaVA


def llava(*turns: str, image: Any = "0.png", **rest: Any) -> dict[str, Any]:
    return {
        "id": "7",
        "image": image,
        "conversations": [{"from": ("human", "gpt")[index % 2], "value": turn} for index, turn in enumerate(turns)],
        **rest,
    }


@pytest.mark.parametrize("prompt", ["<image>\nOCR:", "OCR:\n<image>", "<image> OCR:", "OCR:<image>"])
def test_llava_images_go_in_front(tmp_path: Path, prompt: str) -> None:
    assert reads("llava", jsonl(tmp_path / "a.jsonl", llava(prompt, "x"))) == reads(
        "llava", jsonl(tmp_path / "a.jsonl", llava("<image>OCR:", "x"))
    )


def test_llava_prompts_and_tasks(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "a.jsonl",
        llava("<image>\nOCR:", "x"),
        llava("<image>\nTable Recognition:", "<fcel>a<nl>"),
        llava("<image>\nRead this.", "x"),
    )
    found = [read for read in reads("llava", path) if isinstance(read, Item)]
    assert [(read.task, read.prompt, read.target) for read in found] == [
        (Task.OCR, "", "x"),
        (Task.TABLE, "", "<fcel>a<nl>"),
        (Task.OCR, "Read this.", "x"),
    ]
    chosen = [read for read in reads("llava", path, task=Task.OCR) if isinstance(read, Item)]
    assert [(read.task, read.prompt) for read in chosen][2] == (Task.OCR, "")


def test_llava_longer_conversations_are_rows(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "a.jsonl", llava("<image>\nOCR:", "x", "and <image>?", "y", image=["0.png", "1.png"], dataset="d")
    )
    (found,) = reads("llava", path)
    assert isinstance(found, HubRow) and found.row["meta"] == {"llava": {"id": "7", "dataset": "d"}}
    assert [image["matched_text_index"] for image in found.row["image_info"]] == [0, 2]
    assert [text["text"] for text in found.row["text_info"]] == ["OCR:", "x", "and ?", "y"]


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (llava("<image><image>OCR:", "x"), "source.shape"),
        (llava("<image>OCR:", "x", image=["0.png", "1.png"]), "source.shape"),
        (llava("OCR:", "x", image=None), "trainer.no_image"),
        (llava("<image>OCR:", "<image>"), "source.inexpressible"),
        (llava("<image>OCR:", "x", system="You are"), "source.inexpressible"),
        (llava("<image>OCR:", "  "), "target.empty"),
        ({"image": "0.png"}, "source.shape"),
        ({"image": "0.png", "conversations": [["human", "a"]]}, "source.shape"),
        (llava("<image>OCR:", "x", image="a\0.png"), "source.outside"),
        ({"image": "0.png", "conversations": [{"from": "system", "value": "a"}]}, "source.inexpressible"),
        (llava("<image>OCR:", "x", image={"a": 1}), "source.shape"),
    ],
)
def test_llava_rejects(tmp_path: Path, row: dict[str, Any], code: str) -> None:
    (found,) = reads("llava", jsonl(tmp_path / "a.jsonl", row))
    assert isinstance(found, Reject) and found.code == code


def test_files_come_back_through_sft_convert(tmp_path: Path) -> None:
    """erniekit → messages → erniekit with images that stay where they are gives the same JSON values."""
    golden = TESTS / "golden" / "formats" / "erniekit"
    rows = [
        json.loads(line) for line in (golden / "expected.jsonl").read_text("utf-8").replace("SOURCE/", "").splitlines()
    ]
    (tmp_path / "assets").mkdir()
    for image in (golden / "assets").iterdir():
        (tmp_path / "assets" / image.name).write_bytes(image.read_bytes())
    source, there, back = jsonl(tmp_path / "a.jsonl", *rows), tmp_path / "b.jsonl", tmp_path / "c.jsonl"
    convert(ConvertRequest("erniekit", source, there, to="messages"), Runner(workers=1))
    assert all("messages" in json.loads(line) for line in there.read_text("utf-8").splitlines())
    convert(ConvertRequest("messages", there, back), Runner(workers=1))
    found = [json.loads(line) for line in back.read_text("utf-8").splitlines()]
    assert len(found) == len(rows) >= 3 and all(same(left, right) for left, right in zip(found, rows, strict=True))
