// A small chart toolkit: SVG at the size it is shown, colours from the style sheet by class only.

import { svg } from "./dom.js";

export class Plot {
  /** `size`: {width, height, left, right, top, bottom} in pixels; `x`, `y`: [low, high] in data. */
  constructor(size, x, y) {
    this.size = { left: 46, right: 10, top: 8, bottom: 40, ...size };
    const { width, height, left, right, top, bottom } = this.size;
    this.x = scale(x, left, width - right);
    this.y = scale(y, height - bottom, top);
    this.marks = [];
  }

  /** Any mark; `about` says in words what it stands for, `path` and `value` which number of the answer. */
  mark(tag, attributes, { about = "", path = null, value = null } = {}) {
    const more = path === null ? {} : { "data-path": path, "data-value": value };
    const node = svg(tag, { ...attributes, ...more }, about && svg("title", {}, about));
    this.marks.push(node);
    return node;
  }

  text(x, y, words, style) {
    this.marks.push(svg("text", { class: style, x: x.toFixed(1), y: y.toFixed(1) }, words));
  }

  yAxis(ticks, format) {
    for (const value of ticks) {
      const at = this.y(value);
      this.mark("path", {
        class: "grid",
        d: `M${this.size.left} ${at.toFixed(1)}H${this.size.width - this.size.right}`,
      });
      this.text(this.size.left - 7, at + 4, format(value), "tick end");
    }
  }

  xAxis(ticks, format, caption = "") {
    const base = this.size.height - this.size.bottom;
    this.mark("path", {
      class: "axis",
      d: `M${this.size.left} ${base}H${this.size.width - this.size.right}`,
    });
    for (const value of ticks) {
      const at = this.x(value);
      const words = format(value);
      const room = 4 * words.length; // A centred label at either edge would be cut off by the border.
      this.mark("path", { class: "axis", d: `M${at.toFixed(1)} ${base}v4` });
      this.text(Math.min(Math.max(at, room), this.size.width - room), base + 17, words, "tick mid");
    }
    const middle = (this.size.left + this.size.width - this.size.right) / 2;
    if (caption) this.text(middle, base + 34, caption, "tick mid");
  }

  /** A line across the plot at one height. */
  level(value, style) {
    const at = this.y(value).toFixed(1);
    this.mark("path", { class: style, d: `M${this.size.left} ${at}H${this.size.width - this.size.right}` });
  }

  /** An upright bar from zero, between two values of x, with a hair of room on either side. */
  column(left, right, height, style, more) {
    const [a, b] = [this.x(left) + 0.5, this.x(right) - 0.5];
    const [top, foot] = [this.y(height), this.y(0)];
    this.mark(
      "rect",
      {
        class: style,
        x: a.toFixed(2),
        y: top.toFixed(2),
        width: Math.max(b - a, 0.5).toFixed(2),
        height: Math.max(foot - top, 0).toFixed(2),
      },
      more,
    );
  }

  /** A lying bar, `thickness` pixels thick, around a height in data. */
  span(start, stop, centre, thickness, style, more) {
    const [a, b] = [this.x(start), this.x(stop)].sort((one, other) => one - other);
    const top = this.y(centre) - thickness / 2;
    this.mark(
      "rect",
      { class: style, x: a.toFixed(2), y: top.toFixed(2), width: (b - a).toFixed(2), height: thickness },
      more,
    );
  }

  dot(x, y, style, radius, more) {
    this.mark(
      "circle",
      { class: style, cx: this.x(x).toFixed(2), cy: this.y(y).toFixed(2), r: radius },
      more,
    );
  }

  /** A square on its corner, so that shape and not only colour tells two series apart. */
  diamond(x, y, style, radius, more) {
    const [a, b, r] = [this.x(x), this.y(y), radius];
    this.mark(
      "path",
      { class: style, d: `M${a.toFixed(2)} ${(b - r).toFixed(2)}l${r} ${r}l${-r} ${r}l${-r} ${-r}z` },
      more,
    );
  }

  /** A short upright stroke. */
  stroke(x, y, height, style, more) {
    this.mark(
      "path",
      { class: style, d: `M${this.x(x).toFixed(2)} ${(this.y(y) - height / 2).toFixed(2)}v${height}` },
      more,
    );
  }

  line(points, style) {
    const d = points
      .map(([x, y], index) => `${index ? "L" : "M"}${this.x(x).toFixed(1)} ${this.y(y).toFixed(1)}`)
      .join("");
    if (d) this.mark("path", { class: style, d });
  }

  /** The finished element; `title` says what it shows to those who cannot see it. */
  element(title) {
    const { width, height } = this.size;
    return svg(
      "svg",
      { role: "img", "aria-label": title, viewBox: `0 0 ${width} ${height}`, width, height },
      this.marks,
    );
  }
}

/** Round values, about `wanted` of them, at multiples of 1, 2, 2.5 or 5 times a power of ten. */
export function niceTicks(low, high, wanted = 5, whole = false) {
  if (!(high > low)) return [low];
  const rough = (high - low) / Math.max(wanted, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  let step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough * (1 - 1e-9));
  if (whole) step = Math.max(1, Math.ceil(step));
  const ticks = [];
  for (let index = Math.ceil(low / step - 1e-9); index <= Math.floor(high / step + 1e-9); index += 1) {
    ticks.push(Number((index * step).toPrecision(12)));
  }
  return ticks;
}

/** Decimals needed to tell ticks apart. */
export function tickDigits(values) {
  return (
    [0, 1, 2, 3].find((digits) => values.every((v) => Math.abs(v - Number(v.toFixed(digits))) < 1e-9)) ?? 4
  );
}

/** A range a little widened; a single value gets a range around it. */
export function padded(low, high, share = 0.06) {
  const room = (high - low) * share || Math.max(Math.abs(high), 1) * share;
  return [low - room, high + room];
}

function scale([low, high], start, stop) {
  const span = high - low || 1;
  return (value) => start + ((value - low) / span) * (stop - start);
}
