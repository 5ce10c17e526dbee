"""The prompt of PaddleOCR-VL 1.5, registered with the trainer; generated from the model record."""

from paddleformers.datasets.SFTDataset import MapSFTDataset
from paddleformers.datasets.template.formatter import EmptyFormatter, StringFormatter
from paddleformers.datasets.template.mm_plugin import get_mm_plugin
from paddleformers.datasets.template.template import register_template

register_template(
    name='paddleocr_vl_record',
    format_user=StringFormatter(slots=['User: {{content}}\nAssistant:\n']),
    format_assistant=StringFormatter(slots=["{{content}}"]),
    format_system=StringFormatter(slots=["{{content}}\n"]),
    format_prefix=EmptyFormatter(slots=['<|begin_of_sentence|>']),
    chat_sep='</s>',
    mm_plugin=get_mm_plugin(name="paddleocr_vl", image_token='<|IMAGE_PLACEHOLDER|>'),
)


def name_faults(make):
    """Every row that cannot be used is printed: the data set takes another one for it and prints ten of them only."""

    def process(self, example, count):
        try:
            return make(self, example, count)
        except Exception as error:
            line = f"Warning: Error processing example, skipping. Error: {error!r}; images {example.get('images')}"
            print(line.replace("\n", " "), flush=True)
            raise

    return process


MapSFTDataset._process_sft_sequence = name_faults(MapSFTDataset._process_sft_sequence)
