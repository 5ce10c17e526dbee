"""The prompt of a model version: as one string, and as the chat template that renders it."""

from __future__ import annotations

from sft.models.versions import BEGIN, EOS, IMAGE_END, IMAGE_START, IMAGE_TOKEN, ModelVersion


def render_prompt(version: ModelVersion, prompt: str, *, images: int = 1) -> str:
    """The text in front of the answer, with one placeholder per image.

    >>> from sft.models.versions import MODELS
    >>> render_prompt(MODELS["0.9B"], "OCR:")
    '<|begin_of_sentence|>User: <|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>OCR:\\nAssistant: '
    """
    return f"{BEGIN}User: {(IMAGE_START + IMAGE_TOKEN + IMAGE_END) * images}{prompt}{version.prompt_end}"


def chat_template(version: ModelVersion) -> str:
    """The Jinja chat template of a version, for `chat_template.jinja`.

    Content may be a string or a list of text and image parts. Images stand before the text of their message, in order,
    as the trainers place them. The loops run over `message["content"]` itself: vLLM looks for that to learn that the
    template takes parts; otherwise it flattens them to one string, with a newline between image and prompt that was
    never trained.
    """
    answer = version.prompt_end.removeprefix("\n").replace("\n", "\\n")
    image = IMAGE_START + IMAGE_TOKEN + IMAGE_END
    texts = """
        {%- if message["content"] is string -%}
            {{- message["content"] -}}
        {%- else -%}
            {%- for part in message["content"] -%}
                {%- if part["type"] == "text" -%}{{- part["text"] -}}{%- endif -%}
            {%- endfor -%}
        {%- endif -%}"""
    return f"""{{{{- cls_token if cls_token is defined else "{BEGIN}" -}}}}
{{%- for message in messages -%}}
    {{%- if message["role"] == "user" -%}}
        {{{{- "User: " -}}}}
        {{%- if message["content"] is not string -%}}
            {{%- for part in message["content"] -%}}
                {{%- if part["type"] in ("image", "image_url") -%}}{{{{- "{image}" -}}}}{{%- endif -%}}
            {{%- endfor -%}}
        {{%- endif -%}}{texts}
        {{{{- "\\n" -}}}}
    {{%- elif message["role"] == "assistant" -%}}
        {{{{- "{answer}" -}}}}{texts}
        {{{{- eos_token if eos_token is defined else "{EOS}" -}}}}
    {{%- elif message["role"] == "system" -%}}{texts}
        {{{{- "\\n" -}}}}
    {{%- endif -%}}
{{%- endfor -%}}
{{%- if add_generation_prompt is not defined or add_generation_prompt -%}}
    {{{{- "{answer}" -}}}}
{{%- endif -%}}
"""
