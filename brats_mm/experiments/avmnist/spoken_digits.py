"""Convert recordings of spoken digits to images of 20x20: mel-frequency cepstral coefficients over time."""

from pathlib import Path

import numpy as np
from scipy.fft import dct
from scipy.io import wavfile

from brats_mm.domain.volume import Array
from brats_mm.errors import InputError

COEFFICIENTS = 20
FRAMES = 20
BANDS = 40
WINDOW = 512
"""Samples per frame: 64 ms of the Free Spoken Digit Dataset at 8000 samples per second."""


def read_mfcc(path: Path) -> Array:
    """Read a WAV file as an image.

    Returns:
        (coefficients, frames) as of `compute_mfcc`.

    Raises:
        InputError: the file is not a readable WAV file.
    """
    try:
        rate, sound = wavfile.read(path)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as a WAV file ({error}). Replace it, or remove it from the folder."
        ) from error
    mono = sound.astype(np.float32)
    return compute_mfcc(mono.mean(axis=1) if mono.ndim > 1 else mono, rate)


def compute_mfcc(sound: Array, rate_hz: int) -> Array:
    """Return 20 cepstral coefficients of each of 20 frames, standardised.

    Power spectra of Hann windows are summed in 40 triangular bands of equal width on the mel scale. The coefficients
    are the DCT-II of their logarithm. In contrast to SMIL, whose frames have a fixed step and zero padding, the 20
    frames are spread evenly over the whole recording.

    Args:
        sound: (samples,) one channel.
        rate_hz: sampling rate.

    Returns:
        (coefficients, frames).
    """
    padded = np.pad(sound, (0, max(0, WINDOW + FRAMES - len(sound))))
    starts = np.linspace(0, len(padded) - WINDOW, FRAMES).astype(int)
    frames = np.stack([padded[start : start + WINDOW] for start in starts]) * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2  # (frames, frequencies)
    loudness = np.log(power @ build_mel_bands(rate_hz).T + 1e-10)
    picture = dct(loudness, type=2, norm="ortho", axis=1)[:, :COEFFICIENTS].T
    return np.asarray((picture - picture.mean()) / max(float(picture.std()), 1e-6), dtype=np.float32)


def build_mel_bands(rate_hz: int) -> Array:
    """Return triangular bands of equal width on the mel scale, `2595 log10(1 + f / 700)`, overlapping by half.

    Returns:
        (bands, frequencies) weights.
    """
    top = 2595 * np.log10(1 + rate_hz / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, top, BANDS + 2) / 2595) - 1)
    frequencies = np.fft.rfftfreq(WINDOW, 1 / rate_hz)
    rising = (frequencies - corners[:-2, None]) / (corners[1:-1] - corners[:-2])[:, None]
    falling = (corners[2:, None] - frequencies) / (corners[2:] - corners[1:-1])[:, None]
    return np.asarray(np.clip(np.minimum(rising, falling), 0, None), dtype=np.float32)
