"""Tokenise titles for BERT: word-piece numbers and a mask, padded to one length."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from brats_mm.errors import BundleError, extract_first_line
from brats_mm.experiments.food101.pretrained import import_transformers


class BertTokens:
    """Convert a string to (2, length) integers: truncated or padded word pieces, and a mask that is 0 for padding.

    Args:
        folder: local folder with BERT's `vocab.txt` or `tokenizer.json`.
        length: t, number of word pieces.

    Raises:
        OptionError: transformers is not installed.
        BundleError: the folder has no vocabulary.
    """

    def __init__(self, folder: Path | str, *, length: int = 40) -> None:
        tokenisers = import_transformers().BertTokenizerFast
        if not any((Path(folder) / name).is_file() for name in ("vocab.txt", "tokenizer.json")):
            raise BundleError(
                f"{folder} has no vocab.txt or tokenizer.json. Provide the folder of a BERT model with --bert_folder."
            )
        try:
            self.tokeniser = tokenisers.from_pretrained(str(folder), local_files_only=True)
        except Exception as error:  # the library raises its own types
            raise BundleError(
                f"The vocabulary in {folder} cannot be read ({extract_first_line(error)}). Restore the folder."
            ) from error
        self.length = length

    def __call__(self, text: str) -> npt.NDArray[np.int64]:
        """Return (2, length): token ids, and 1 for tokens and 0 for padding."""
        encoding = self.tokeniser(text, max_length=self.length, truncation=True, padding="max_length")
        return np.array([encoding["input_ids"], encoding["attention_mask"]])
