// Sliders on the pages of the notebooks that move without a kernel. They are written by hand: a kernel in the
// browser (Pyodide) is 10 MB and knows no MindSpore, a plotting library is more than the six formulas here.
'use strict'
;(() => {
  const SVG = 'http://www.w3.org/2000/svg', { data } = SSD
  const GREEN = '#0a7d33', BLUE = '#1f77d0', GREY = '#808080'
  const floats = text => SSD.decodeFloats(text)
  const rows = flat => Array.from({ length: flat.length / 4 }, (_, i) => Array.from(flat.subarray(4 * i, 4 * i + 4)))
  const general = (x, digits) => String(Number(x.toPrecision(digits)))  // as Python's :.3g, for what is not tiny
  const shape = (name, attributes, text = '') => {
    const made = document.createElementNS(SVG, name)
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
    made.textContent = text
    return made
  }
  const box = ([y1, x1, y2, x2], width, height, stroke, wide = 2, more = {}) => shape('rect', {
    x: x1 * width, y: y1 * height, width: (x2 - x1) * width, height: (y2 - y1) * height, fill: 'none', stroke,
    'stroke-width': wide, ...more })
  const range = (name, value, min, max, step) => ({ name, value, min, max, step })
  const picture = (image, width, height) => image
    ? shape('image', { href: `data:image/jpeg;base64,${image}`, width, height, preserveAspectRatio: 'none' })
    : shape('rect', { width, height, fill: '#c8c8c8' })

  const kinds = {
    iou: () => ({
      title: 'IoU of two boxes',
      controls: [range('dy', 0.2, -1, 1, 0.05), range('dx', 0.3, -1, 1, 0.05)],
      answer ({ dy, dx }) {
        const a = data.square, b = a.map((side, k) => side + (k % 2 ? dx : dy))
        const low = [Math.max(a[0], b[0]), Math.max(a[1], b[1])], high = [Math.min(a[2], b[2]), Math.min(a[3], b[3])]
        const parts = [box(a, 100, 100, GREEN, 2), box(b, 100, 100, BLUE, 2)]
        if (high[0] > low[0] && high[1] > low[1]) parts.unshift(box([...low, ...high], 100, 100, 'none', 0, { fill: '#f4d35e' }))
        return { text: `IoU = ${SSD.iou(a, b).toFixed(4)}`, view: [-105, -105, 310, 310], parts, most: 300 }
      }
    }),

    cell: () => {
      const defaults = rows(floats(data.defaults))
      return {
        title: 'default boxes of a cell',
        controls: [range('level', 2, 0, data.levels.length - 1, 1), range('y', 0.5, 0, 0.95, 0.05), range('x', 0.5, 0, 0.95, 0.05)],
        answer ({ level, y, x }) {
          const [lines, columns] = data.levels[level], row = Math.trunc(y * lines), column = Math.trunc(x * columns)
          const here = SSD.cellBoxes(data.levels, level, row, column), [height, width] = [240, 320]
          const [y1, x1, y2, x2] = defaults[here[0]]
          return {
            text: `map ${level}, cell (${row}, ${column}): ${here.length} boxes, numbers ${here[0]} to ${here.at(-1)}`,
            view: [-0.3 * width, -0.3 * height, 1.6 * width, 1.6 * height],
            parts: [picture(data.image, width, height), ...here.map(i => box(defaults[i], width, height, BLUE)),
              shape('circle', { cx: (x1 + x2) / 2 * width, cy: (y1 + y2) / 2 * height, r: 3, fill: BLUE })]
          }
        }
      }
    },

    match: () => {
      const defaults = rows(floats(data.defaults)), objects = rows(floats(data.objects))
      return {
        title: 'which default boxes take an object',
        controls: [range('level', 3, 0, data.levels.length - 1, 1), range('threshold', 0.4, 0.2, 0.9, 0.05)],
        answer ({ level, threshold }) {
          const taken = SSD.match(objects, defaults, threshold), [height, width] = [240, 320]
          const here = defaults.filter((_, i) => taken[i] >= 0 && SSD.place(data.levels, i).level === level)
          const lit = new Set(taken.filter((_, i) => SSD.place(data.levels, i).level === level).filter(j => j >= 0))
          return {
            text: `${here.length} positives, map ${level}; ${lit.size} of ${objects.length} objects have one there`,
            view: [-0.1 * width, -0.1 * height, 1.2 * width, 1.2 * height],
            parts: [picture(data.image, width, height), ...here.map(b => box(b, width, height, BLUE, 1)),
              ...objects.map((b, j) => box(b, width, height, lit.has(j) ? GREEN : GREY, 2.5))]
          }
        }
      }
    },

    focal: () => {
      const logits = floats(data.logits), labels = SSD.decodeBytes(data.labels), classes = logits.length / labels.length
      const softplus = z => Math.max(z, 0) + Math.log1p(Math.exp(-Math.abs(z)))
      return {
        title: 'who makes up the focal loss',
        controls: [range('gamma', 3, 0, 5, 0.5), range('alpha', 0.9, 0, 1, 0.1)],
        answer ({ gamma, alpha }) {
          const losses = new Float64Array(labels.length)
          logits.forEach((logit, i) => {
            const yes = labels[Math.floor(i / classes)] === i % classes, wrong = yes ? -logit : logit
            const entropy = softplus(wrong)
            losses[Math.floor(i / classes)] += (yes ? alpha : 1 - alpha) * Math.exp(gamma * (wrong - entropy)) * entropy
          })
          const matched = labels.filter(label => label > 0).length
          const background = losses.filter((_, i) => labels[i] === 0).sort().reverse()
          const sum = part => part.reduce((all, loss) => all + loss, 0), total = sum(losses)
          const hard = background.slice(0, 3 * matched)
          const shares = [['matched', sum(losses.filter((_, i) => labels[i] > 0)), BLUE], ['hard background', sum(hard), '#d98c2b'],
            ['easy background', sum(background.slice(hard.length)), '#b5b5b5']].map(([name, part, color]) => [name, part / total, color])
          let at = 0
          const parts = []
          for (const [, share, fill] of shares) {
            parts.push(shape('rect', { x: at * 400, y: 8, width: share * 400, height: 34, fill }))
            at += share
          }
          return { text: shares.map(([name, share]) => `${name} ${(100 * share).toFixed(1)}%`).join(', '), view: [0, 0, 400, 50], parts,
            colours: shares.map(([name, , color]) => [name, color]) }
        }
      }
    },

    rates: () => ({
      title: 'learning rate',
      controls: [range('lr', 0.2, 0.01, 0.3, 0.01), range('warm_up', 5, 0, 8, 1), range('epochs', 4, 1, 40, 1),
        { name: 'schedule', value: 'cosine', options: ['cosine', 'linear', 'flat', 'steps'] }],
      answer ({ lr, warm_up, epochs, schedule }) {
        const steps = 125, total = epochs * steps, warm = warm_up * steps, end = lr * 0.001
        const cosine = part => (1 + Math.cos(Math.PI * part)) / 2
        const fall = { cosine, linear: part => 1 - part, flat: part => cosine(Math.min(Math.max(4 * part - 3, 0), 1)),
          steps: part => part < 2 / 3 ? 1 : part < 5 / 6 ? 0.1 : 0.01 }[schedule]
        const rates = Array.from({ length: total }, (_, step) => Math.fround(step < warm
          ? 0.001 + (lr - 0.001) * step / Math.max(warm, 1)
          : end + (lr - end) * fall((step - warm) / Math.max(total - warm, 1))))
        const most = rates.reduce((a, b) => Math.max(a, b)), every = Math.ceil(total / 800)
        const points = rates.flatMap((rate, i) => i % every ? [] : [`${(40 + 350 * i / total).toFixed(1)},${(180 - 160 * rate / most).toFixed(1)}`])
        return { text: `${total} steps, at most ${general(most, 3)}`, view: [0, 0, 400, 205], parts: [
          shape('path', { d: 'M40 15V180H390', fill: 'none', stroke: 'currentColor' }),
          shape('polyline', { points: points.join(' '), fill: 'none', stroke: BLUE, 'stroke-width': 2 }),
          shape('text', { x: 36, y: 24, 'text-anchor': 'end', 'font-size': 11, fill: 'currentColor' }, general(most, 3)),
          shape('text', { x: 36, y: 184, 'text-anchor': 'end', 'font-size': 11, fill: 'currentColor' }, '0'),
          shape('text', { x: 390, y: 197, 'text-anchor': 'end', 'font-size': 11, fill: 'currentColor' }, `epoch ${epochs}`)], rates }
      }
    }),

    thresholds: () => ({
      title: 'score and NMS',
      controls: [{ name: 'photograph', value: 'coffee', options: Object.keys(data.photographs) },
        range('score above', 0.2, 0.05, 0.95, 0.05), range('NMS above', 0.45, 0, 1, 0.05)],
      answer ({ photograph, 'score above': score, 'NMS above': overlap }) {
        const { shape: [height, width], image, answers } = data.photographs[photograph]
        const items = answers.filter(([, , value]) => Math.fround(value / 10000) > Math.fround(score)).map(([which, label, value, ...corners]) =>
          ({ which, label, score: Math.fround(value / 10000), box: corners.map((side, k) => Math.fround(side / 1000) * (k % 2 ? width : height)) }))
        const stay = SSD.nms(items, overlap, 100), few = stay.length <= 15, scale = width / 400
        const parts = [picture(image, width, height)]
        for (const item of stay) {
          const [y1, x1] = item.box
          parts.push(box(item.box, 1, 1, '#e8590c', (few ? 2 : 1) * scale))
          if (few) parts.push(shape('text', { x: Math.max(x1, 0) + 3 * scale, y: Math.max(y1, 0) + 11 * scale, 'font-size': 11 * scale, fill: '#8a2f00',
            stroke: '#fff', 'stroke-width': 3 * scale, 'paint-order': 'stroke' }, `${data.classes[item.label]} ${item.score.toFixed(2)}`))
        }
        return { text: `score > ${score.toFixed(2)}, NMS ${overlap.toFixed(2)}: ${stay.length} stay`, view: [0, 0, width, height], parts, items: stay }
      }
    })
  }

  const element = (name, attributes = {}, text = '') => {
    const made = document.createElement(name)
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
    made.textContent = text
    return made
  }

  const makeControl = ({ name, value, min, max, step, options }, change) => {
    const label = element('label', {}, `${name} `)
    const input = options ? element('select', { name }) : element('input', { type: 'range', name, min, max, step, value })
    const shown = element('output', {}, options ? '' : String(value))
    for (const option of options || []) input.append(element('option', {}, option))
    input.value = value
    input.addEventListener('input', () => { if (!options) shown.textContent = input.value; change() })
    label.append(input, shown)
    return { label, read: () => [name, options ? input.value : Number(input.value)] }
  }

  for (const place of document.querySelectorAll('.live[data-slider]')) {
    const slider = kinds[place.dataset.slider](), svg = shape('svg', { role: 'img', 'aria-label': slider.title })
    const said = element('p', { class: 'said', role: 'status', 'aria-live': 'polite' })
    const legend = element('p', { class: 'quiet', 'aria-hidden': 'true' })
    const show = () => {
      const { text, view, parts, colours, most } = slider.answer(Object.fromEntries(controls.map(control => control.read())))
      said.textContent = text
      legend.replaceChildren(...(colours || []).flatMap(([name, color]) => {
        const mark = element('span', { class: 'mark' })
        mark.style.background = color
        return [mark, ` ${name} `]
      }))
      svg.setAttribute('viewBox', view.join(' '))
      if (most) svg.style.maxWidth = `${most}px`
      svg.replaceChildren(...parts)
    }
    const controls = slider.controls.map(control => makeControl(control, show)), row = element('div', { class: 'controls' })
    row.append(...controls.map(control => control.label))
    place.setAttribute('role', 'group')
    place.setAttribute('aria-label', slider.title)
    place.append(element('p', { class: 'quiet' }, `${slider.title}: these sliders move here, without a kernel.`), row, said, svg, legend)
    place.hidden = false
    show()
  }
})()
