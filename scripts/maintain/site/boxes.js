// The arithmetic of the living pages: the same numbers as ssd_nb's, which tests/test_site_live.py compares.
'use strict'
const SSD = { models: [], images: [], engine: null, data: {} }

// float32 as NumPy computes it: every step is rounded
const f32 = Math.fround

SSD.decodeBytes = text => {  // base64 -> Uint8Array
  const raw = atob(text), bytes = new Uint8Array(raw.length)
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i)
  return bytes
}

SSD.decodeFloats = text => new Float32Array(SSD.decodeBytes(text).buffer)

SSD.unzip = async text => {  // base64 of gzip -> Uint8Array
  const stream = new Blob([SSD.decodeBytes(text)]).stream().pipeThrough(new DecompressionStream('gzip'))
  return new Uint8Array(await new Response(stream).arrayBuffer())
}

// IoU of two boxes y1 x1 y2 x2; `round` is f32 where both are float32, and nothing where they are float64
SSD.iou = (a, b, round = x => x) => {
  const height = round(Math.min(a[2], b[2]) - Math.max(a[0], b[0]))
  const width = round(Math.min(a[3], b[3]) - Math.max(a[1], b[1]))
  const shared = round(Math.max(height, 0) * Math.max(width, 0))
  const area = box => round(round(box[2] - box[0]) * round(box[3] - box[1]))
  const union = round(round(area(a) + area(b)) - shared)
  return round(shared / Math.max(union, 1.1754943508222875e-38))
}

// As `match` with the rule 'modelzoo': for each default box the object that it takes, -1 is background
SSD.match = (objects, defaults, threshold) => {
  const taken = new Int32Array(defaults.length).fill(-1), best = objects.map(() => [-1, -1])
  const limit = f32(threshold)
  defaults.forEach((box, i) => {
    let most = -1
    objects.forEach((object, j) => {
      const overlap = SSD.iou(object, box, f32)
      if (overlap > most) { most = overlap; if (overlap > limit) taken[i] = j }
      if (overlap > best[j][0]) best[j] = [overlap, i]
    })
  })
  for (let j = objects.length - 1; j >= 0; j--) taken[best[j][1]] = j  // the first object writes last
  return taken
}

// Where a default box stands: map, row, column, its number in the cell; levels: of [rows, columns, boxes of a cell]
SSD.place = (levels, which) => {
  for (let level = 0; level < levels.length; level++) {
    const [rows, columns, each] = levels[level]
    if (which < rows * columns * each) {
      const cell = Math.floor(which / each)
      return { level, row: Math.floor(cell / columns), column: cell % columns, shape: which % each, each }
    }
    which -= rows * columns * each
  }
  return null
}

SSD.cellBoxes = (levels, level, row, column) => {  // numbers of the default boxes of a cell
  let first = 0
  for (let i = 0; i < level; i++) first += levels[i][0] * levels[i][1] * levels[i][2]
  const [, columns, each] = levels[level]
  return Array.from({ length: each }, (_, k) => first + (row * columns + column) * each + k)
}

// As `nms`: items {box, score, label}, boxes in pixels; class after class, best first, of equals the last first
SSD.nms = (items, threshold, most) => {
  const result = []
  const order = items.map((item, i) => [item, i]).sort((a, b) =>
    a[0].label - b[0].label || b[0].score - a[0].score || b[1] - a[1])
  let kept = [], label = null
  for (const [item] of order) {
    if (item.label !== label) { kept = []; label = item.label }
    if (kept.length >= most) continue
    const longer = box => [box[0], box[1], box[2] + 1, box[3] + 1]  // both corner pixels belong to a box
    const mine = longer(item.box)
    if (kept.some(other => SSD.iou(other, mine) > threshold)) continue
    kept.push(mine)
    result.push(item)
  }
  return result
}

// As `detect` before NMS: boxes (N * 4) in unit coordinates, scores (N * C), column 0 is background
SSD.above = (boxes, scores, classes, height, width, minScore) => {
  const items = [], limit = f32(minScore), size = [height, width, height, width]
  for (let which = 0; which < boxes.length / 4; which++)
    for (let label = 1; label < classes; label++) {
      const score = scores[which * classes + label]
      if (score > limit) items.push({ which, label, score, box: size.map((side, k) => boxes[which * 4 + k] * side) })
    }
  return items
}

// As OpenCV's INTER_LINEAR on 8 bits, in its whole numbers of 11 bits
const weigh = (from, to, across) => {  // beyond an edge it repeats the edge: of columns one, of rows both count
  const first = new Int32Array(to), next = new Int32Array(to), low = new Int32Array(to), high = new Int32Array(to)
  const even = x => { const r = Math.round(x); return r - x === 0.5 && r % 2 ? r - 1 : r }
  for (let i = 0; i < to; i++) {
    let at = f32((i + 0.5) * (from / to) - 0.5), whole = Math.floor(at)
    at = f32(at - whole)
    if (across && whole < 0) { whole = 0; at = 0 }
    if (across && whole >= from - 1) { whole = from - 1; at = 0 }
    first[i] = Math.max(whole, 0)
    next[i] = Math.min(whole + 1, from - 1)
    low[i] = even(f32(f32(1 - at) * 2048))
    high[i] = even(f32(at * 2048))
  }
  return { first, next, low, high }
}

// What the network sees: RGBA pixels of any size -> (3 * height * width) float32, resized and normalised
SSD.prepare = (pixels, fromHeight, fromWidth, height, width, { mean, std }) => {
  const y = weigh(fromHeight, height, false), x = weigh(fromWidth, width, true), plane = height * width
  const result = new Float32Array(3 * plane)
  const inverse = std.map(value => f32(1 / value)), shift = mean.map((value, c) => f32(value / std[c]))
  for (let row = 0; row < height; row++) {
    const top = y.first[row] * fromWidth, bottom = y.next[row] * fromWidth
    for (let column = 0; column < width; column++)
      for (let c = 0; c < 3; c++) {
        const left = x.first[column], right = x.next[column], a = x.low[column], b = x.high[column]
        const above = pixels[4 * (top + left) + c] * a + pixels[4 * (top + right) + c] * b
        const below = pixels[4 * (bottom + left) + c] * a + pixels[4 * (bottom + right) + c] * b
        const value = ((y.low[row] * (above >> 4) >> 16) + (y.high[row] * (below >> 4) >> 16) + 2) >> 2
        result[c * plane + row * width + column] = f32(f32(value * inverse[c]) - shift[c])
      }
  }
  return result
}
