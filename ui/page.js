// What Gradio's parts do not do: the face drawn on the playing clip, the time axis, how the server is, small courtesies.
// It finds its elements anew each time, since Gradio replaces them. Python renders them: player.py, timeline.py.
(() => {
  const find = (selector, within = document) => within.querySelector(selector);
  const video = () => find(".fc-picture video");

  // Gradio tells of whatever it cannot play; a preview takes the clip's place soon after.
  document.addEventListener("error", event => {
    if (event.target instanceof HTMLVideoElement) event.stopImmediatePropagation();
  }, true);

  // ---- the face on the picture, and the playhead ----
  let tracked = {text: null, data: null};
  function track() {
    const text = find(".fc-timeline")?.dataset.track ?? null;
    if (text !== tracked.text) tracked = {text, data: text && JSON.parse(text)};
    return tracked.data;
  }

  // Numbers between two samples of the track, nested as they are.
  const between = (a, b, share) => Array.isArray(a) ? a.map((one, i) => between(one, b[i], share)) : a + (b - a) * share;

  function at(data, name, time) {
    const {times} = data, values = data[name];
    let next = times.findIndex(one => one > time);
    if (next < 0) next = times.length;
    const before = values[next - 1], after = values[next];
    if (next > 0 && next < times.length && before && after)
      return between(before, after, (time - times[next - 1]) / (times[next] - times[next - 1]));
    const near = next >= times.length || (next > 0 && time - times[next - 1] < times[next] - time) ? next - 1 : next;
    return values[near] ?? null;  // none where the face is not seen
  }

  function draw() {
    const player = video(), data = track(), overlay = find(".fc-overlay"), axis = find(".fc-axis");
    if (player && overlay) {
      const picture = find(".fc-picture"), wide = player.videoWidth || data?.width || 16;
      const high = player.videoHeight || data?.height || 9;
      const shape = `${wide}/${high}`;
      if (picture.style.aspectRatio.replaceAll(" ", "") !== shape) {
        picture.style.aspectRatio = shape;
        picture.style.setProperty("--fc-shape", wide / high);
      }
      let drawn = "";
      if (data?.times.length && player.readyState >= 1) {
        const box = at(data, "boxes", player.currentTime), points = at(data, "points", player.currentTime);
        overlay.setAttribute("viewBox", `0 0 ${wide} ${high}`);
        if (box) {
          const [x1, y1, x2, y2] = box.map((one, i) => Math.min(Math.max(one, 0), 1) * (i % 2 ? high : wide));
          drawn = `<rect x="${x1}" y="${y1}" width="${x2 - x1}" height="${y2 - y1}" rx="${wide * .01}"/>`;
          const radius = Math.max((x2 - x1) * .02, wide * .004);
          for (const [x, y] of points ?? []) drawn += `<circle cx="${x * wide}" cy="${y * high}" r="${radius}"/>`;
        }
        for (const other of data.others ?? []) {
          const there = at({times: data.times, boxes: other.boxes}, "boxes", player.currentTime);
          if (there) drawn += `<rect class="fc-other-face" data-face="${other.face}" x="${there[0] * wide}" y="${there[1] * high}"`
            + ` width="${(there[2] - there[0]) * wide}" height="${(there[3] - there[1]) * high}"/>`;
        }
      }
      if (overlay.innerHTML !== drawn && overlay.dataset.drawn !== drawn) {
        overlay.innerHTML = drawn;
        overlay.dataset.drawn = drawn;
      }
    }
    if (player && axis) {
      const end = Number(axis.getAttribute("aria-valuemax")), now = Math.min(player.currentTime, end);
      axis.style.setProperty("--fc-now", now / end);
      const said = now.toFixed(1);
      if (axis.getAttribute("aria-valuenow") !== said) {
        axis.setAttribute("aria-valuenow", said);
        axis.setAttribute("aria-valuetext", `${said} s of ${end.toFixed(1)} s`);
      }
    }
    elapsed();
    requestAnimationFrame(draw);
  }

  // ---- the time axis seeks the player ----
  function seek(time) {
    const player = video(), axis = find(".fc-axis");
    if (!player || !axis) return;
    player.pause();
    player.currentTime = Math.min(Math.max(time, 0), Number(axis.getAttribute("aria-valuemax")));
  }
  function seekTo(event, axis) {
    const plot = find(".fc-marks", axis).getBoundingClientRect();
    seek((event.clientX - plot.left) / plot.width * Number(axis.getAttribute("aria-valuemax")));
  }
  let dragged = null;
  document.addEventListener("pointerdown", event => {
    dragged = event.target.closest?.(".fc-axis") ?? null;
    if (dragged) seekTo(event, dragged);
  });
  document.addEventListener("pointermove", event => {
    if (dragged && event.buttons) seekTo(event, dragged);
  });
  document.addEventListener("pointerup", () => { dragged = null; });
  document.addEventListener("keydown", event => {
    const axis = event.target.closest?.(".fc-axis"), player = video();
    if (!axis || !player) return;
    const end = Number(axis.getAttribute("aria-valuemax"));
    const to = {ArrowLeft: player.currentTime - .1, ArrowRight: player.currentTime + .1, PageDown: player.currentTime - 1,
      PageUp: player.currentTime + 1, Home: 0, End: end}[event.key];
    if (event.key === " ") player.paused ? player.play() : player.pause();
    else if (to === undefined) return;
    else seek(to);
    event.preventDefault();
  });

  // A click on another face is one on its button, which keyboards reach.
  document.addEventListener("click", event => {
    const face = event.target.closest?.(".fc-other-face")?.dataset.face;
    if (face !== undefined) find(`#fc-faces [data-id="${face}"]`)?.click();
  });

  // ---- how long an answer takes ----
  let since = null;
  function elapsed() {
    const running = find(".fc-timing[data-running]");
    if (!running) { since = null; return; }
    since ??= performance.now();
    const words = `${running.dataset.running} ${((performance.now() - since) / 1000).toFixed(1)} s`;
    if (running.textContent !== words) running.textContent = words;
  }

  // ---- how the server is; `ask` calls Python ----
  const PERIOD = 800, PATIENCE = 1000;
  const WORDS = {
    ok: "Ready", starting: "The model is starting …", restarting: "The model restarts; what you asked waits …",
    draining: "The server ends …", gone: "The server does not answer; it is asked again each second …",
    away: "The page's own server is away; it is asked again each second …",
  };
  window.fcWatch = (element, ask) => {
    let page, broken = false;  // which run of the page's server this is, and whether it could not be reached
    const look = async () => {
      const asked = ask().catch(() => null).then(told => {
        broken ||= !told?.state;
        return broken && !told?.state ? {state: "away"} : told;
      });
      const late = new Promise(resolve => setTimeout(() => resolve({state: "away", late: true}), PATIENCE));
      let said = await Promise.race([asked, late]);
      if (said.late) { show(said); said = await asked; }
      // A page whose server began anew, or whose connection broke, gets no more events: it loads itself again.
      if (said.page && ((page && said.page !== page) || broken)) { location.reload(); return; }
      page ??= said.page;
      show(said);
      if (element.isConnected) setTimeout(look, PERIOD);
    };
    const show = said => {
      const pill = find(".fc-status", element);
      if (pill && pill.dataset.state !== said.state) {
        pill.dataset.state = said.state;
        pill.textContent = WORDS[said.state] ?? said.state;
      }
      const model = find(".fc-model-name", element);
      if (model && said.model && model.textContent !== said.model) model.textContent = said.model;
    };
    look();
  };

  // ---- focus stays where the reader works when Gradio replaces what had it ----
  let last = null;
  const key = element => element?.dataset?.do && ["do", "id", "text"].map(name => element.dataset[name] ?? "").join("\n");
  document.addEventListener("focusin", event => {
    last = {key: key(event.target), chat: !!event.target.closest("#fc-ask, #fc-chat"), since: performance.now()};
  });
  new MutationObserver(() => {
    if (document.activeElement !== document.body || !last) return;
    const same = last.key && [...document.querySelectorAll("[data-do]")].find(one => key(one) === last.key);
    if (same) same.focus({preventScroll: true});
    else if (last.chat || last.key?.startsWith("ask")) find("#fc-question textarea:not(:disabled)")?.focus({preventScroll: true});
  }).observe(document, {subtree: true, childList: true});

  // ---- files made by the page, and the address of the open clip ----
  window.fcSave = file => {
    if (!file?.data) return;
    const link = document.createElement("a");
    link.href = `data:${file.type};base64,${file.data}`;
    link.download = file.name;
    link.click();
  };
  window.fcLink = clip => {
    const address = new URL(location);
    if (clip) address.searchParams.set("clip", clip); else address.searchParams.delete("clip");
    if (address.href !== location.href) history.replaceState(null, "", address);
  };
  document.addEventListener("click", event => {
    const card = event.target.closest?.('a[href="#fc-card"]') && find("#fc-card details");
    if (card) card.open = true;
  });
  document.addEventListener("click", async event => {
    const button = event.target.closest?.("[data-copy-link]");
    if (!button) return;
    await navigator.clipboard.writeText(location.href);
    button.textContent = "Copied";
  });

  requestAnimationFrame(draw);
})();
