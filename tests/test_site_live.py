"""What lives on the website, in a real browser: the detector, and the sliders that need no kernel."""
import json
import os
import re
import shutil
import sys
from functools import partial

import numpy as np
import pytest
from browser import open_browser, wait_for_value, with_browser
from bs4 import BeautifulSoup
from conftest import ROOT
from test_export import make_checkpoint

sys.path.insert(0, str(ROOT / 'scripts/maintain'))

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group('browser')]
CAMERA = '--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream'
NAMES = '<script>alert(1)</script>', 'a "quoted" & \'odd\' <b>name</b>', '</script><!-- &amp;'
ANSWER = ('return window.SSD_STATE && SSD_STATE.answer && '
          '!document.getElementById("status").textContent.match(/loading/)')
STATUS = 'return document.getElementById("status").textContent'
wait = partial(wait_for_value, status=STATUS)


def make_page(folder, detectors):
    "The page with the detector alone, without those of the notebooks"
    from build_site import find_notebooks, name_pages, open_template, write_detector
    folder.mkdir(exist_ok=True)
    missing = write_detector(folder, open_template(), detectors, **name_pages(find_notebooks()))
    return folder / 'detector.html', missing


@pytest.fixture(scope='session')
def detector(tmp_path_factory):
    "An ONNX file: of the quick start, where that was run, or of weights by chance"
    from live_site import QUICK_START, fetch_engine
    from ssd_nb.export_310 import export_model
    from ssd_nb.plumbing.options import UserError
    try: fetch_engine()
    except UserError as error: pytest.skip(f'needs the engine: {error}')
    folder = tmp_path_factory.mktemp('detector')
    trained = QUICK_START if QUICK_START.is_file() else make_checkpoint('ssd_tiny', folder / 'tiny.ckpt')
    return export_model(trained, folder / 'tiny', 'ONNX')[0]


@pytest.fixture(scope='session')
def hostile(detector):
    "The same with names of classes that are markup"
    path = detector.with_name('it\'s <i> & "so".onnx')
    shutil.copy(detector, path)
    facts = json.loads(detector.with_name('tiny.onnx.json').read_text())
    del facts['checksum'] # of the json itself
    facts['classes'][1:4] = NAMES
    facts['config']['data']['classes'][1:4] = NAMES
    path.with_name(f'{path.name}.json').write_text(json.dumps(facts | {'name': path.name}))
    return path


@pytest.fixture(scope='session')
def page(detector, hostile, tmp_path_factory):
    "The address of the page on disk"
    path, missing = make_page(tmp_path_factory.mktemp('site'), [detector, hostile])
    assert missing == []
    return path


@pytest.fixture(scope='session')
def browser(tmp_path_factory):
    driver = open_browser(tmp_path_factory.mktemp('profile'), *CAMERA,
                          loggingPrefs={'browser': 'ALL', 'performance': 'ALL'})
    yield driver
    driver.quit()


def open_page(browser, path):
    browser.get(path.as_uri())
    wait(browser, ANSWER)


def set_slider(browser, id, value):
    browser.execute_script('const slider = document.getElementById(arguments[0])\n'
                           'slider.value = arguments[1]\n'
                           'slider.dispatchEvent(new Event("input", {bubbles: true}))', id, str(value))


def give_file(browser, path):
    browser.execute_script('SSD_STATE.answer = null')
    browser.find_element('id', 'file').send_keys(str(path))


def found_by_page(browser):
    rows = browser.execute_script('return SSD_STATE.items.map(i => [i.label, i.which, i.score, ...i.box])')
    return np.array(sorted(rows)).reshape(-1, 7)


def found_by_python(detector, image, min_score, nms_threshold):
    from ssd_nb.data import prepare_input
    from ssd_nb.eval import EvalConfig, detect
    from ssd_nb.export_310 import load_predict
    predict, config = load_predict(detector)
    entry = prepare_input(image, config.boxes.image_shape)
    boxes, scores = predict(entry[None])
    found = detect(boxes[0], scores[0], image.shape[:2], EvalConfig(min_score, nms_threshold))
    rows = np.column_stack([found.labels, found.defaults, found.scores, found.boxes])
    return entry, np.array(sorted(rows.tolist())).reshape(-1, 7)


def odd_picture(folder, size=(333, 421)):
    "A picture of an odd size, without losses"
    import cv2
    from ssd_nb.plumbing.samples import running_image
    image = cv2.resize(running_image()[0], size[::-1], interpolation=cv2.INTER_CUBIC)
    path = folder / 'odd "<b>" & name.png'
    cv2.imwrite(str(path), image[..., ::-1])
    return path, image


@with_browser
@pytest.mark.parametrize('size', [(333, 421), (240, 320), (97, 101), (900, 1200)])
def test_detections_are_those_of_predict(page, browser, detector, tmp_path, size):
    open_page(browser, page)
    path, image = odd_picture(tmp_path, size)
    give_file(browser, path)
    wait(browser, ANSWER)
    assert f'{path.name}, {size[1]}×{size[0]} pixels' in browser.execute_script(STATUS)
    seen = browser.execute_script('return Array.from(SSD_STATE.answer.input)')
    for min_score, overlap in (0.4, 0.6), (0.1, 0.45), (0.05, 0.2):
        set_slider(browser, 'score', min_score)
        set_slider(browser, 'overlap', overlap)
        entry, wanted = found_by_python(detector, image, min_score, overlap)
        assert np.abs(np.reshape(seen, entry.shape) - entry).max() < 1e-5
        shown = found_by_page(browser)
        assert shown.shape == wanted.shape and (shown[:, :2] == wanted[:, :2]).all()
        assert np.abs(shown[:, 2] - wanted[:, 2]).max() < 1e-4
        assert np.abs(shown[:, 3:] - wanted[:, 3:]).max() < 0.05  # pixels
        assert f'→ {len(wanted)} after NMS' in browser.find_element('id', 'counts').text
    assert len(wanted) > 5


@with_browser
def test_command_predict_finds_the_same(page, browser, detector, tmp_path, script):
    done = script('predict.py', '--run_platform=CPU', f'--checkpoint_path={detector}',
                  f'--image_path={ROOT / "data_samples/eval/000001.jpg"}', f'--output_dir={tmp_path}')
    assert done.code == 0, done.err
    said = json.loads(next(tmp_path.rglob('*.json')).read_text())
    rows = said if isinstance(said, list) else said['detections']
    wanted = sorted(row['score'] for row in rows)
    open_page(browser, page)
    set_slider(browser, 'overlap', 0.6)
    shown = sorted(float(x) for x in found_by_page(browser)[:, 2])
    assert len(shown) == len(wanted)
    assert np.abs(np.array(shown) - wanted).max() < 0.02  # two programs decode the JPEG


@with_browser
def test_it_is_fast_enough(page, browser):
    opened = []
    for _ in range(4):
        open_page(browser, page)
        opened.append(browser.execute_script('return SSD_STATE.first'))
    took = browser.execute_async_script('''const done = arguments[0], times = []
        ;(async () => {
            for (let i = 0; i < 15; i++) { await SSD_STATE.look(); times.push(SSD_STATE.took) }
            done(times)
        })()''')
    print(f'first detection after {min(opened):.0f} ms, then {np.median(took):.0f} ms an image')
    assert min(opened) < 3000
    assert np.median(took) < 300


@with_browser
def test_dropped_picture_is_looked_at(page, browser):
    open_page(browser, page)
    browser.execute_async_script('''const done = arguments[0]
        document.createElement('canvas').toBlob(blob => {
            const carried = new DataTransfer()
            carried.items.add(new File([blob], 'dropped & <i>.png', {type: 'image/png'}))
            SSD_STATE.answer = null
            document.dispatchEvent(new DragEvent('drop', {dataTransfer: carried, cancelable: true}))
            done(true)
        })''')
    wait(browser, ANSWER)
    assert 'for dropped & <i>.png, 300×150 pixels.' in browser.execute_script(STATUS)


@with_browser
def test_every_picture_to_choose_from_is_looked_at(page, browser):
    open_page(browser, page)
    buttons = browser.find_elements('css selector', '#choices button')
    assert len(buttons) >= 4
    for button in buttons:
        browser.execute_script('SSD_STATE.answer = null')
        button.click()
        wait(browser, ANSWER)
        assert button.get_attribute('aria-label') in browser.execute_script(STATUS)


@with_browser
def test_camera_starts_and_stops(page, browser):
    open_page(browser, page)
    button = browser.find_element('id', 'camera')
    button.click()
    wait(browser, f'{STATUS}.includes("the camera")')
    assert button.get_attribute('aria-pressed') == 'true'
    button.click()
    assert button.get_attribute('aria-pressed') == 'false'
    assert browser.execute_script('return SSD_STATE.camera === null')


@with_browser
def test_stages_and_the_way_back_to_a_default_box(page, browser):
    from ssd_nb.boxes import default_tlbr, find_box_levels, make_cell_boxes
    from ssd_nb.train import preset
    boxes = preset('ssd_tiny', 'CPU').boxes
    open_page(browser, page)
    set_slider(browser, 'score', 0.1)
    counts = {}
    for stage in ('raw', 'threshold', 'nms'):
        browser.find_element('css selector', f'input[value={stage}]').click()
        counts[stage] = browser.execute_script('return SSD_STATE.items.length')
        assert len(browser.find_elements('css selector', '#drawn rect')) == min(counts[stage], 300)
    assert counts['raw'] > 100 and counts['threshold'] > counts['nms'] > 0
    row = browser.find_element('css selector', '#found button')
    row.send_keys('\n')  # the keyboard reaches it, and stays there
    assert browser.switch_to.active_element == browser.find_element('css selector', '#found button')
    which = browser.execute_script('return SSD_STATE.chosen.which')
    said = browser.find_element('id', 'chosen').text
    numbers = re.search(r'map (\d+) of .* cell \((\d+), (\d+)\), box (\d+)', said).groups()
    level, line, column, shape = map(int, numbers)
    assert level == find_box_levels(boxes)[which]
    assert make_cell_boxes(boxes, level, line, column)[shape] == which
    dashed = browser.find_elements('css selector', '#drawn .default')
    y1, x1, *_ = default_tlbr(boxes)[which] * [240, 320, 240, 320]
    assert len(dashed) == 2 and abs(float(dashed[0].get_attribute('y')) - y1) < 0.01
    browser.execute_script('SSD_STATE.chosen = null')
    middle = browser.execute_script('''const b = SSD_STATE.items[0].box
        const drawn = document.getElementById('drawn')
        const r = drawn.getBoundingClientRect()
        drawn.dispatchEvent(new MouseEvent('click', {bubbles: true,
            clientX: r.left + (b[1] + b[3]) / 640 * r.width,
            clientY: r.top + (b[0] + b[2]) / 480 * r.height}))
        return SSD_STATE.chosen !== null''')
    assert middle


@with_browser
def test_names_are_text(page, browser):
    open_page(browser, page)
    browser.execute_script('window.alert = () => { window.alarmed = true }')
    browser.execute_script('''SSD_STATE.answer = null; const chooser = document.getElementById('model')
        chooser.value = 1; chooser.dispatchEvent(new Event('change'))''')
    wait(browser, ANSWER)
    set_slider(browser, 'score', 0.02)
    assert 'it\'s <i> & "so"' in browser.execute_script(STATUS)
    items = browser.execute_script('return SSD_STATE.items.map(i => SSD.models[1].classes[i.label])')
    assert set(NAMES) & set(items)
    buttons = browser.find_elements('css selector', '#found button')
    shown = [button.get_attribute('textContent') for button in buttons]
    assert any(name in row for row in shown for name in NAMES)
    assert not browser.execute_script('return window.alarmed')
    assert not browser.find_elements('css selector', '#detector b, #detector i, #detector script')


@with_browser
def test_broken_picture_gets_a_sentence(page, browser, tmp_path):
    open_page(browser, page)
    for content in b'', b'not a picture', (ROOT / 'data_samples/eval/000001.jpg').read_bytes()[:300]:
        (tmp_path / 'broken.jpg').write_bytes(content)
        browser.find_element('id', 'file').send_keys(str(tmp_path / 'broken.jpg'))
        said = wait(browser, f'const said = (() => {{ {STATUS} }})(); return said.includes("broken") && said')
        assert said == ('broken.jpg cannot be read as a picture: choose a whole JPEG, PNG or WebP file of at '
                        'most 100 million pixels.')
        browser.find_element('css selector', '#choices button').click()
        wait(browser, f'{STATUS}.includes("needed")')


@with_browser
@pytest.mark.parametrize('kind', ['gone', 'not_zipped', 'not_onnx', 'no_engine'])
def test_model_that_does_not_load_gets_a_sentence(page, browser, tmp_path, kind):
    from live_site import pack
    folder = tmp_path / 'site'
    shutil.copytree(page.parent, folder)
    file = folder / 'live' / ('engine.js' if kind == 'no_engine' else 'model_0.js')
    if kind in ('gone', 'no_engine'): file.unlink()
    else:
        text = pack(b'nothing') if kind == 'not_onnx' else 'bm90IHppcHBlZA=='
        file.write_text(f'SSD.models[0].onnx = "{text}"')
    browser.get((folder / 'detector.html').as_uri())
    wait(browser, f'{STATUS}.includes("does not load")')
    said = browser.execute_script(STATUS)
    assert said.count('.') - len(re.findall(r'\.\w', said)) == 1 and said.endswith('make these pages again.')


@with_browser
def test_without_javascript_or_webassembly_it_says_so(page, browser):
    browser.execute_cdp_cmd('Emulation.setScriptExecutionDisabled', {'value': True})
    try:
        browser.get(page.as_uri())
        assert 'This page needs JavaScript' in browser.find_element('tag name', 'main').text
    finally: browser.execute_cdp_cmd('Emulation.setScriptExecutionDisabled', {'value': False})
    taken = browser.execute_cdp_cmd('Page.addScriptToEvaluateOnNewDocument',
                                    {'source': 'delete window.WebAssembly'})
    try:
        browser.get(page.as_uri())
        wait(browser, f'{STATUS}.includes("no WebAssembly")')
    finally: browser.execute_cdp_cmd('Page.removeScriptToEvaluateOnNewDocument', taken)


def check_addresses(browser):
    "What was asked for since the log was read last came from this machine"
    said = [json.loads(row['message'])['message'] for row in browser.get_log('performance')]
    asked = [m['params']['request']['url'] for m in said if m['method'] == 'Network.requestWillBeSent']
    assert asked and all(re.match(r'file:|blob:|data:', url) for url in asked), asked


@with_browser
def test_nothing_comes_from_another_host(page, browser):
    browser.get_log('performance')
    open_page(browser, page)
    check_addresses(browser)
    assert not [row for row in browser.get_log('browser') if row['level'] == 'SEVERE'
                and 'detector.html' in row['message']]


@with_browser
@pytest.mark.parametrize('width', [800, 1280])
def test_it_fits_and_everything_has_a_name(page, browser, width):
    browser.set_window_size(width, 1000)
    try:
        open_page(browser, page)
        assert browser.execute_script('return document.documentElement.scrollWidth <= window.innerWidth')
        for tag in browser.find_elements('css selector', '#detector :is(input, select, button, canvas)'):
            assert tag.accessible_name.strip(), tag.get_attribute('outerHTML')
        if folder := os.environ.get('SSD_NB_SCREENSHOTS'):
            for scheme in ('light', 'dark'):
                browser.execute_cdp_cmd('Emulation.setEmulatedMedia', {
                    'features': [{'name': 'prefers-color-scheme', 'value': scheme}]})
                browser.save_screenshot(f'{folder}/detector_{width}_{scheme}.png')
    finally:
        browser.set_window_size(1280, 1000)
        browser.execute_cdp_cmd('Emulation.setEmulatedMedia', {'features': []})


def test_page_is_small_and_whole_without_weights(page):
    files = list((page.parent / 'live').glob('*.js'))
    weights = [file for file in files if file.name.startswith('model_')]
    assert len(weights) == 2
    assert sum(file.stat().st_size for file in {*files, page} - set(weights)) < 15e6
    for script in BeautifulSoup(page.read_text(), 'html.parser').find_all('script'):
        assert (page.parent / script['src']).is_file()


def test_page_without_a_detector_or_an_engine_says_so(detector, tmp_path, monkeypatch):
    import live_site
    monkeypatch.setattr(live_site, 'PACKAGE', tmp_path / 'none.tgz')
    monkeypatch.setattr(live_site, 'ROOT', tmp_path.parent)
    monkeypatch.setattr(live_site, 'ADDRESS', 'http://127.0.0.1:9/none.tgz')
    monkeypatch.setattr(live_site, 'list_images', lambda: [])
    cases = ([], 'No detector was there'), ([detector], 'cannot be fetched')
    for number, (files, reason) in enumerate(cases):
        page, missing = make_page(tmp_path / f'site{number}', files)
        said = BeautifulSoup(page.read_text(), 'html.parser').find('main').get_text()
        assert len(missing) == 1 and reason in missing[0] and missing[0] in said


def test_detector_that_was_found_and_cannot_be_read_is_left_out(tmp_path, monkeypatch):
    import live_site
    from ssd_nb.plumbing.options import UserError
    (tmp_path / 'odd.onnx').write_bytes(b'odd')
    monkeypatch.setattr(live_site, 'find_detectors', lambda: [tmp_path / 'odd.onnx'])
    monkeypatch.setattr(live_site, 'list_images', lambda: [])
    page, missing = make_page(tmp_path / 'site', None)
    assert len(missing) == 1 and 'odd.onnx.json' in missing[0] and page.is_file()
    with pytest.raises(UserError, match='odd.onnx.json'):  # but one that was asked for is an error
        make_page(tmp_path / 'site', [tmp_path / 'odd.onnx'])
    with pytest.raises(UserError, match='there is no such file'):
        make_page(tmp_path / 'site', [tmp_path / 'none.onnx'])


def test_package_that_changed_is_refused(tmp_path, monkeypatch):
    import live_site
    from ssd_nb.plumbing.options import UserError
    (tmp_path / 'it.tgz').write_bytes(b'something else')
    monkeypatch.setattr(live_site, 'PACKAGE', tmp_path / 'it.tgz')
    with pytest.raises(UserError, match='checksum differs'): live_site.fetch_engine()


@pytest.fixture(scope='session')
def pages(tmp_path_factory):
    "The folder with the pages of the notebooks that have such sliders"
    from build_site import find_notebooks, name_pages, open_template, page_name, write_notebook
    from live_site import SLIDERS, write_sliders
    folder = tmp_path_factory.mktemp('pages')
    write_sliders(folder / 'live')
    for path in find_notebooks():
        if page_name(path) in SLIDERS:
            write_notebook(folder, path, open_template(), **name_pages(find_notebooks()))
    return folder


def say_iou(dy, dx):
    from ssd_nb.boxes import iou
    square = np.array([0, 0, 1, 1])
    return f'IoU = {iou(square, square + [dy, dx, dy, dx])[0, 0]:.4f}'


def say_cell(level, y, x):
    from ssd_nb.boxes import BoxConfig, grids, make_cell_boxes
    row, column = (int(part * n) for part, n in zip((y, x), grids(BoxConfig())[level]))
    here = make_cell_boxes(BoxConfig(), level, row, column)
    return f'map {level}, cell ({row}, {column}): {len(here)} boxes, numbers {here[0]} to {here[-1]}'


def say_match(level, threshold):
    from ssd_nb.boxes import BoxConfig, default_tlbr, find_box_levels, match
    from ssd_nb.plumbing.samples import running_image
    truth = running_image()[1]
    taken = match(truth, default_tlbr(BoxConfig()), threshold)
    here = taken[(taken >= 0) & (find_box_levels(BoxConfig()) == level)]
    return f'{len(here)} positives, map {level}; {len(set(here))} of {len(truth)} objects have one there'


def say_focal(gamma, alpha):
    import mindspore as ms
    from live_site import make_logits
    from ssd_nb.loss import _focal_loss
    logits, labels = make_logits()
    losses = _focal_loss(ms.Tensor(logits), ms.Tensor(np.eye(6, dtype=np.float32)[labels]), gamma, alpha)
    losses, matched = losses.asnumpy().astype(float).sum(-1), labels > 0
    background = np.sort(losses[~matched])[::-1]
    hard, easy = np.split(background, [3 * matched.sum()])
    parts = {'matched': losses[matched], 'hard background': hard, 'easy background': easy}
    return ', '.join(f'{name} {part.sum() / losses.sum():.1%}' for name, part in parts.items())


def say_rates(lr, warm_up, epochs, schedule):
    from ssd_nb.train import _schedule_rates
    rates = _schedule_rates(epochs, 125, lr, warmup_epochs=warm_up, schedule=schedule)
    return f'{len(rates)} steps, at most {rates.max():.3g}'


def say_thresholds(name, score, overlap):
    from ssd_nb.eval import EvalConfig, detect
    from ssd_nb.plumbing.photographs import PHOTOGRAPHS, load_recorded_answers
    found = detect(*load_recorded_answers(name), PHOTOGRAPHS[name].shape, EvalConfig(score, overlap))
    return f'score > {score:.2f}, NMS {overlap:.2f}: {len(found)} stay'


SAID = dict(iou=('00_boxes', say_iou), cell=('00_boxes', say_cell), match=('00_boxes', say_match),
            focal=('04_loss', say_focal), rates=('05_train', say_rates),
            thresholds=('06_eval', say_thresholds))
MOVE = '''const [name, values] = arguments, place = document.querySelector(`[data-slider=${name}]`)
    place.querySelectorAll('input, select').forEach((control, i) => {
        control.value = values[i]
        control.dispatchEvent(new Event('input', {bubbles: true}))
    })
    return place.querySelector('.said').textContent'''


@with_browser
@pytest.mark.parametrize('name', SAID)
def test_sliders_say_what_the_notebook_says(pages, browser, name):
    page, say = SAID[name]
    browser.get((pages / f'{page}.html').as_uri())
    place = browser.find_element('css selector', f'[data-slider={name}]')
    controls = place.find_elements('css selector', 'input, select')
    kinds = []  # the values that each can take
    for control in controls:
        assert control.accessible_name.strip()
        if control.tag_name == 'select':
            kinds.append([option.text for option in control.find_elements('tag name', 'option')])
        else:
            low, high, step = (float(control.get_attribute(key)) for key in ('min', 'max', 'step'))
            values = [round(low + step * i, 2) for i in range(round((high - low) / step) + 1)]
            kinds.append([int(value) for value in values] if step == 1 else values)
    rng, seen = np.random.default_rng(1), set()
    chosen = [[kind[0] for kind in kinds], [kind[-1] for kind in kinds]]
    chosen += [[kind[rng.integers(len(kind))] for kind in kinds] for _ in range(25)]
    start = [control.get_attribute('value') for control in controls]
    chosen += [start[:i] + [value] + start[i + 1:] for i, kind in enumerate(kinds) for value in kind[:60]]
    for values in chosen:
        values = [kind[0] if len(kind) == 1 else type(kind[0])(value) for kind, value in zip(kinds, values)]
        said = browser.execute_script(MOVE, name, [str(value) for value in values])
        if name == 'focal':  # float32 there, float64 here
            numbers = [[float(n) for n in re.findall(r'([\d.]+)%', text)] for text in (said, say(*values))]
            assert len(numbers[0]) == 3 and np.abs(np.subtract(*numbers)).max() < 0.11, values
        else: assert said == say(*values), values
        seen.add(said)
    assert len(seen) > 5
    before = place.find_element('css selector', '.said').text
    slider = place.find_element('css selector', 'input[type=range]')
    for key in ('\ue012', '\ue012', '\ue014'): slider.send_keys(key)  # the arrows of the keyboard
    browser.execute_script(MOVE, name, [str(value) for value in chosen[0]])
    slider.send_keys('\ue014')
    assert float(slider.get_attribute('value')) > float(chosen[0][controls.index(slider)]) and before


def test_focal_slider_has_the_logits_of_the_notebook():
    from live_site import make_logits
    logits, labels = make_logits()
    right = logits.argmax(1) == labels
    matched, others = right[labels > 0].mean(), right[labels == 0].mean()
    said = f'right: {matched:.0%} of matched boxes, {others:.1%} of the others'
    assert said in (ROOT / 'nbs/04_loss.ipynb').read_text()


@with_browser
def test_pages_with_sliders_fit_and_load_nothing(pages, browser):
    from live_site import SLIDERS
    for page, sliders in SLIDERS.items():
        for width in (1280, 800):
            browser.set_window_size(width, 1000)
            browser.get_log('performance')
            browser.get((pages / f'{page}.html').as_uri())
            for place in browser.find_elements('css selector', '.live'):
                assert place.is_displayed() and place.size['width'] <= width
            check_addresses(browser)
    browser.set_window_size(1280, 1000)


@with_browser
def test_without_javascript_no_slider_is_seen(pages, browser):
    browser.execute_cdp_cmd('Emulation.setScriptExecutionDisabled', {'value': True})
    try:
        browser.get((pages / '00_boxes.html').as_uri())
        assert 'Which boxes are there?' in browser.find_element('tag name', 'main').text
        assert not [place for place in browser.find_elements('css selector', '.live') if place.is_displayed()]
    finally: browser.execute_cdp_cmd('Emulation.setScriptExecutionDisabled', {'value': False})


def test_cell_that_is_gone_is_named(monkeypatch):
    import live_site
    from ssd_nb.plumbing.options import UserError
    monkeypatch.setattr(live_site, 'SLIDERS', {'00_boxes': dict(iou='interact(gone')})
    soup = BeautifulSoup('<div class="cell">interact(slide)</div>', 'html.parser')
    with pytest.raises(UserError, match='00_boxes: 0 cells contain'):
        live_site.place_sliders(soup, '00_boxes')


def test_data_of_pages_is_no_markup():
    from live_site import to_script
    for name in NAMES:
        assert '<' not in to_script(name) and json.loads(to_script(name)) == name
