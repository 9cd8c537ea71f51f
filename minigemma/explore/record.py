"""A button that records from the microphone, where a notebook runs in a browser that allows it.

ipywidgets has none. So the browser records and decodes, brings the sound to 16 kHz, and writes its samples into a
hidden text field, which every front end sends to the kernel. Where scripts or the microphone are not allowed (a page
without a kernel, a file opened from disk, plain http from another machine), the button says so or does nothing.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Callable

import ipywidgets as widgets
import numpy as np

CLASS = "minigemma-recorder"
SCRIPT = """
const button = this, box = button.closest('.%s');
const say = text => { box.querySelector('.said').textContent = text; };
const idle = () => { button.recorder = null; button.textContent = '● record'; };
if (button.recorder) { button.recorder.stop(); return; }
if (!navigator.mediaDevices || !window.MediaRecorder) {
  say('No microphone here: open the notebook at localhost or over https, or upload a WAV file.');
  return;
}
navigator.mediaDevices.getUserMedia({audio: true}).then(stream => {
  const parts = [], recorder = new MediaRecorder(stream);
  recorder.ondataavailable = event => parts.push(event.data);
  recorder.onstop = async () => {
    stream.getTracks().forEach(track => track.stop());
    idle();
    try {
      const coded = await new Blob(parts).arrayBuffer();
      const sound = await new OfflineAudioContext(1, 1, 16000).decodeAudioData(coded);
      const samples = Int16Array.from(sound.getChannelData(0), x => 32767 * Math.max(-1, Math.min(1, x)));
      const bytes = new Uint8Array(samples.buffer);
      let text = '';
      for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
      const field = box.querySelector('textarea');
      field.value = btoa(text);
      for (const kind of ['input', 'change']) field.dispatchEvent(new Event(kind, {bubbles: true}));
      say('');
    } catch (error) { say('The recording cannot be decoded: ' + error.message); }
  };
  recorder.start();
  button.recorder = recorder;
  button.textContent = '■ stop';
  say('recording, 30 s at most');
  setTimeout(() => { if (recorder.state === 'recording') recorder.stop(); }, 30000);
}).catch(error => { idle(); say('No microphone: ' + error.message); });
"""


def recorder(heard: Callable[[np.ndarray, int], None]) -> widgets.Box:
    """A record button; calls ``heard(waveform, sample_rate)`` with each recording, (samples,) float32 in [-1, 1]."""
    field = widgets.Textarea(continuous_update=False, layout=widgets.Layout(display="none"))
    script = html.escape(SCRIPT % CLASS, quote=True)
    button = f'<button class="lm-Widget jupyter-widgets jupyter-button" onclick="{script}">● record</button>'
    box = widgets.Box([widgets.HTML(f'{button} <span class="said" role="status"></span>'), field])
    box.add_class(CLASS)

    def receive(change: dict) -> None:
        if change["new"]:
            field.value = ""  # a notebook's saved state should not carry the sound twice
            heard(np.frombuffer(base64.b64decode(change["new"]), "<i2").astype(np.float32) / 32768, 16_000)

    field.observe(receive, "value")
    return box
