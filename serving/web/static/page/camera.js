// The camera: one frame after the other goes through the model.

import { button, element } from "./dom.js";
import { explainCamera } from "./failures.js";

export class Camera {
  /** `classify` takes an ImageBitmap and returns a promise; `say` shows a sentence. */
  constructor(classify, say) {
    this.classify = classify;
    this.say = say;
    this.video = element("video", { muted: true, playsInline: true, "aria-label": "What the camera sees" });
    this.view = element("div", { className: "camera card", hidden: true }, this.video);
    this.button = button("Use the camera", () => (this.stream ? this.stop() : this.start()));
  }

  async start() {
    if (!navigator.mediaDevices?.getUserMedia) {
      return this.say("The camera works only on pages of this machine and over HTTPS.");
    }
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
      this.video.srcObject = this.stream;
      await this.video.play();
    } catch (error) {
      this.stop();
      return this.say(explainCamera(error));
    }
    this.view.hidden = false;
    this.button.textContent = "Stop the camera";
    this.say("");
    await this.#watch(this.stream);
  }

  stop() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = null;
    this.video.srcObject = null;
    this.view.hidden = true;
    this.button.textContent = "Use the camera";
  }

  async #watch(stream) {
    while (this.stream === stream) {
      if (this.video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) {
        try {
          await this.classify(await createImageBitmap(this.video));
        } catch (error) {
          this.stop();
          return this.say(`The camera was stopped: ${error.message}`);
        }
      }
      await new Promise(requestAnimationFrame);
    }
  }
}
