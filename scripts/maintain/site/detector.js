// The page with the detector: pictures come in, the engine answers, boxes are drawn.
'use strict'
;(() => {
  const part = id => document.getElementById(id)
  const say = text => { part('status').textContent = text }
  const reason = error => String(error.message || error).split('\n')[0].replace(/[.\s]+$/, '').replaceAll('. ', ', ')
  const COLOURS = ['#0a7d33', '#0a58a8', '#b3261e', '#7a3fa0', '#8a5a00', '#00707a']
  const MOST_DRAWN = 300, MOST_LISTED = 20, RAW_DRAWN = 200, MOST_PIXELS = 100e6
  const state = { model: null, session: null, answer: null, items: [], chosen: null, camera: null, turn: 0 }
  window.SSD_STATE = state  // the tests read it

  const element = (name, attributes = {}, text = '') => {
    const svg = ['rect', 'text', 'g'].includes(name)
    const made = svg ? document.createElementNS('http://www.w3.org/2000/svg', name) : document.createElement(name)
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value)
    made.textContent = text
    return made
  }

  const loadScript = address => new Promise((done, fail) => {
    const script = element('script', { src: address })
    script.onload = done
    script.onerror = () => fail(new Error(`${address} is missing`))
    document.head.append(script)
  })

  let engine = null
  const openEngine = () => engine ??= (async () => {
    if (typeof WebAssembly === 'undefined')
      throw new Error('this browser has no WebAssembly')
    if (!SSD.engine) await loadScript('live/engine.js')
    const bytes = await SSD.unzip(SSD.engine)
    ort.env.wasm.numThreads = 1  // threads need headers that a folder on disk does not send
    ort.env.wasm.wasmPaths = {
      'ort-wasm-simd.wasm': URL.createObjectURL(new Blob([bytes], { type: 'application/wasm' }))
    }
  })()

  const openModel = async number => {
    const turn = ++state.turn, model = SSD.models[number]
    Object.assign(state, { session: null, answer: null, items: [], chosen: null })
    draw()
    say(`${model.name} is loading.`)
    try {
      const start = performance.now()
      await openEngine()
      if (!model.onnx) await loadScript(model.file)
      const session = await ort.InferenceSession.create(await SSD.unzip(model.onnx),
        { executionProviders: ['wasm'] })
      if (turn !== state.turn) return
      model.defaults ??= SSD.decodeFloats(model.tlbr)
      Object.assign(state, { model, session, loading: performance.now() - start })
      part('score').value = model.start
      part('overlap').value = model.thresholds.nms_threshold
      await look()
    } catch (error) {
      if (turn === state.turn) say(`${model.name} does not load (${reason(error)}): choose another detector, or make these pages again.`)
    }
  }

  // The picture is on the canvas; detect in it
  const look = async () => {
    const { model, session } = state, canvas = part('picture')
    if (!session || !state.pixels) return
    const turn = ++state.turn, { height, width, data } = state.pixels
    const [, , rows, columns] = model.shape
    try {
      const start = performance.now()
      const input = SSD.prepare(data, height, width, rows, columns, model.normalisation)
      const answers = await session.run({ [session.inputNames[0]]: new ort.Tensor('float32', input, model.shape) })
      if (turn !== state.turn) return
      const [boxes, scores] = session.outputNames.map(name => answers[name].data)
      if (boxes.length !== model.defaults.length || scores.length !== boxes.length / 4 * model.classes.length)
        throw new Error('its answers are of another shape than its json says')
      state.first ??= performance.now()
      Object.assign(state, { answer: { boxes, scores, height, width, input }, chosen: null, took: performance.now() - start })
      say(`${model.name} needed ${Math.round(state.took)} ms for ${state.title}, ${width}×${height} pixels.`)
      canvas.setAttribute('aria-label', `${state.title}, with the boxes listed below`)
      draw()
    } catch (error) { say(`${model.name} gives no answer (${reason(error)}): choose another detector.`) }
  }

  state.look = look

  const choose = (boxes, scores, model, height, width) => {  // -> what the switch asks for, best first
    const kind = document.querySelector('input[name=stage]:checked').value
    const score = Number(part('score').value), overlap = Number(part('overlap').value)
    const above = SSD.above(boxes, scores, model.classes.length, height, width, score)
    const stay = SSD.nms(above, overlap, model.thresholds.max_boxes)
    part('counts').textContent = `${boxes.length / 4} default boxes → ${above.length} answers above ${score.toFixed(2)} → ${stay.length} after NMS`
    if (kind === 'raw') {
      const items = [], size = [height, width, height, width]
      const step = Math.ceil(boxes.length / 4 / RAW_DRAWN), classes = model.classes.length
      for (let which = 0; which < boxes.length / 4; which += step) {
        let label = 1
        for (let c = 2; c < classes; c++) if (scores[which * classes + c] > scores[which * classes + label]) label = c
        items.push({ which, label, score: scores[which * classes + label], box: size.map((s, k) => boxes[which * 4 + k] * s) })
      }
      part('counts').textContent += ` (one of ${step} raw boxes is drawn, or they would hide the picture)`
      return items
    }
    return (kind === 'nms' ? stay : above).sort((a, b) => b.score - a.score)
  }

  const draw = () => {
    part('score_value').textContent = Number(part('score').value).toFixed(2)
    part('overlap_value').textContent = Number(part('overlap').value).toFixed(2)
    const svg = part('drawn'), list = part('found')
    svg.replaceChildren()
    list.replaceChildren()
    part('counts').textContent = ''
    if (!state.answer) return
    const { boxes, scores, height, width } = state.answer, { model } = state
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`)
    state.items = choose(boxes, scores, model, height, width)
    const scale = width / Math.max(part('picture').clientWidth, 1)  // picture pixels for one on the screen
    const few = state.items.length <= 15
    for (const item of state.items.slice(0, MOST_DRAWN).reverse()) svg.append(...frame(item, scale, few, model))
    if (state.chosen) svg.append(...mark(state.chosen, scale, height, width, model))
    for (const item of state.items.slice(0, MOST_LISTED)) {
      const row = element('li'), button = element('button', { type: 'button' }, `${model.classes[item.label]} ${item.score.toFixed(2)}`)
      button.addEventListener('click', () => select(item))
      row.append(button)
      list.append(row)
    }
    const more = state.items.length - MOST_LISTED
    if (more > 0) list.append(element('li', { class: 'quiet' }, `and ${more} more`))
  }

  const rectangle = ([y1, x1, y2, x2], attributes) =>
    element('rect', { x: x1, y: y1, width: Math.max(x2 - x1, 0), height: Math.max(y2 - y1, 0), fill: 'none', ...attributes })

  const frame = (item, scale, few, model) => {
    const colour = COLOURS[(item.label - 1) % COLOURS.length], size = 14 * scale
    const parts = [rectangle(item.box, { stroke: colour, 'stroke-width': (few ? 3 : 1.2) * scale })]
    if (few) parts.push(element('text', { x: Math.max(item.box[1], 0) + 3 * scale, y: Math.max(item.box[0], 0) + size, 'font-size': size,
      fill: colour, stroke: '#fff', 'stroke-width': 4 * scale, 'paint-order': 'stroke' }, `${model.classes[item.label]} ${item.score.toFixed(2)}`))
    return parts
  }

  const defaultBox = (model, which, height, width) =>
    [height, width, height, width].map((side, k) => model.defaults[which * 4 + k] * side)

  const mark = (item, scale, height, width, model) => [
    rectangle(item.box, { stroke: '#ffd400', 'stroke-width': 4 * scale }),
    ...[['#fff', 5], ['#111', 2.5]].map(([stroke, wide]) => rectangle(defaultBox(model, item.which, height, width),
      { class: 'default', stroke, 'stroke-width': wide * scale, 'stroke-dasharray': `${8 * scale} ${6 * scale}` }))]

  const select = item => {
    const { model } = state, { level, row, column, shape, each } = SSD.place(model.levels, item.which)
    const [rows, columns] = model.levels[level], [height, width] = model.shape.slice(2)
    const [y1, x1, y2, x2] = defaultBox(model, item.which, height, width)
    state.chosen = item
    part('chosen').textContent = `${model.classes[item.label]} ${item.score.toFixed(2)} came from default box ${item.which}: map ${level} of ${rows}×${columns} cells, ` +
      `cell (${row}, ${column}), box ${shape} (counted from 0) of its ${each}, ${Math.round(y2 - y1)}×${Math.round(x2 - x1)} pixels of the input of ${height}×${width}. It is drawn dashed.`
    const pressed = [...part('found').querySelectorAll('button')].indexOf(document.activeElement)
    draw()
    if (pressed >= 0) part('found').querySelectorAll('button')[pressed]?.focus()  // the list is a new one
  }

  // Of the drawn boxes that hold the point, the smallest
  const selectAt = event => {
    if (!state.answer) return
    const place = part('drawn').getBoundingClientRect()
    const y = (event.clientY - place.top) / place.height * state.answer.height
    const x = (event.clientX - place.left) / place.width * state.answer.width
    const area = ({ box }) => (box[2] - box[0]) * (box[3] - box[1])
    const inside = state.items.slice(0, MOST_DRAWN).filter(({ box }) => box[0] <= y && y <= box[2] && box[1] <= x && x <= box[3])
    if (inside.length) select(inside.reduce((best, item) => area(item) < area(best) ? item : best))
  }

  const show = (source, height, width, title) => {
    const canvas = part('picture'), context = canvas.getContext('2d', { willReadFrequently: true })
    Object.assign(canvas, { height, width })
    context.fillStyle = '#000'
    context.fillRect(0, 0, width, height)
    context.drawImage(source, 0, 0, width, height)
    state.pixels = context.getImageData(0, 0, width, height)
    state.title = title
  }

  const open = async (blob, title) => {
    stopCamera()
    let bitmap
    try {
      bitmap = await createImageBitmap(blob, { colorSpaceConversion: 'none' })
      if (bitmap.width * bitmap.height > MOST_PIXELS) throw new Error('too large')
    } catch {
      say(`${title} cannot be read as a picture: choose a whole JPEG, PNG or WebP file of at most 100 million pixels.`)
      return
    }
    try { show(bitmap, bitmap.height, bitmap.width, title) } catch {
      say(`${title} is larger than this browser can draw: make it smaller.`)
      return
    }
    Object.assign(state, { answer: null, chosen: null })
    draw()
    await look()
  }

  const stopCamera = () => {
    if (!state.camera) return
    for (const track of state.camera.getTracks()) track.stop()
    state.camera = null
    part('camera').setAttribute('aria-pressed', 'false')
    part('camera').textContent = 'use the camera'
  }

  const startCamera = async () => {
    const video = part('video')
    try {
      const camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment', width: 640 } })
      state.camera = camera
      video.srcObject = camera
      await video.play()
      part('camera').setAttribute('aria-pressed', 'true')
      part('camera').textContent = 'stop the camera'
      while (state.camera === camera) {
        if (video.videoWidth) {
          show(video, video.videoHeight, video.videoWidth, 'the camera')
          await look()
        }
        await new Promise(requestAnimationFrame)
      }
    } catch (error) {
      stopCamera()
      say(`The camera cannot be used (${reason(error)}): allow it for this page, or choose a picture.`)
    }
  }

  const begin = () => {
    if (!SSD.models.length || typeof ort === 'undefined') return
    part('detector').hidden = false
    SSD.models.forEach((model, i) => part('model').append(element('option', { value: i }, model.name)))
    for (const image of SSD.images) {
      const button = element('button', { type: 'button', title: image.credit || image.name, 'aria-label': image.name })
      button.append(element('img', { src: `data:${image.kind};base64,${image.data}`, alt: '' }))
      button.addEventListener('click', () => open(new Blob([SSD.decodeBytes(image.data)], { type: image.kind }), image.name))
      part('choices').append(button)
    }
    part('model').addEventListener('change', event => openModel(Number(event.target.value)))
    part('file').addEventListener('change', event => {
      const file = event.target.files[0]
      event.target.value = ''  // or the same file, mended, would not be a change
      if (file) open(file, file.name)
    })
    part('camera').addEventListener('click', () => state.camera ? stopCamera() : startCamera())
    for (const id of ['score', 'overlap']) part(id).addEventListener('input', draw)
    part('stages').addEventListener('change', draw)
    part('stage').addEventListener('click', selectAt)
    document.addEventListener('dragover', event => event.preventDefault())
    document.addEventListener('drop', event => {
      event.preventDefault()
      const file = event.dataTransfer.files[0]
      if (file) open(file, file.name)
    })
    window.addEventListener('resize', draw)
    openModel(0)
    const first = SSD.images[0]
    if (first) open(new Blob([SSD.decodeBytes(first.data)], { type: first.kind }), first.name)
  }
  begin()
})()
