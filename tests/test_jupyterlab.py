"""Every notebook in JupyterLab, in a real browser: it runs, and a slider that moves changes the picture."""
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest
from browser import open_browser, wait_for_value, with_browser
from conftest import ROOT

pytestmark = [pytest.mark.slow, with_browser]
NOTEBOOKS = sorted(path.stem for path in (ROOT / 'nbs').glob('0*.ipynb'))
RUN_ALL = "jupyterapp.commands.execute('notebook:run-all-cells').finally(() => { window.ran = true })"
PANEL = 'jupyterapp.shell.currentWidget'
OUTPUTS = (f'return Array.from({PANEL}.content.model.cells)'
           '.map(cell => cell.outputs ? cell.outputs.toJSON() : [])')
MOVE = '''const [slider, name, done] = arguments,
      place = slider.closest('.jp-OutputArea-child, .jp-Cell-outputArea'),
      picture = () => Array.from(place.querySelectorAll('img')).map(img => img.src).join(),
      before = picture(), start = performance.now()
const watcher = new MutationObserver(() => { const now = picture()
    if (now && now !== before) { watcher.disconnect(); done(performance.now() - start) } })
watcher.observe(place, {subtree: true, childList: true, attributes: true})
for (const kind of ['keydown', 'keyup'])
    slider.dispatchEvent(new KeyboardEvent(kind, {key: name, bubbles: true}))'''


@pytest.fixture(scope='module')
def lab(tmp_path_factory):
    "The address of a JupyterLab that serves a copy of the notebooks"
    folder = tmp_path_factory.mktemp('lab')
    shutil.copytree(ROOT / 'nbs', folder / 'nbs')
    for name in ('data_samples', 'scripts', 'settings.ini', 'ssd_nb', 'README.md'):
        os.symlink(ROOT / name, folder / name)
    (folder / 'config/labconfig').mkdir(parents=True)
    settings = '{"@jupyterlab/apputils-extension:notification": {"fetchNews": "false"}}'
    (folder / 'config/labconfig/default_setting_overrides.json').write_text(settings)
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    environ = {**os.environ, 'GLOG_v': '4', 'PYTHONPATH': str(ROOT),
               'JUPYTER_CONFIG_DIR': str(folder / 'config'), 'JUPYTER_DATA_DIR': str(folder / 'data')}
    server = subprocess.Popen([sys.executable, '-m', 'jupyterlab', '--no-browser', '--allow-root',
                               '--ServerApp.token=', '--ServerApp.password=',
                               f'--port={port}', '--expose-app-in-browser',
                               f'--notebook-dir={folder / "nbs"}'],
                              cwd=folder, env=environ, stdout=open(folder / 'log', 'w'),
                              stderr=subprocess.STDOUT)
    for _ in range(120):
        with socket.socket() as probe:
            if probe.connect_ex(('127.0.0.1', port)) == 0: break
        assert server.poll() is None, (folder / 'log').read_text()
        time.sleep(0.5)
    yield f'http://127.0.0.1:{port}/lab/tree'
    server.terminate()
    server.wait(30)


@pytest.fixture
def browser(tmp_path):
    driver = open_browser(tmp_path / 'profile')
    yield driver
    driver.execute_async_script("const done = arguments[0]; "
                                "jupyterapp.serviceManager.sessions.shutdownAll().then(() => done(true), () "
                                "=> done(false))")
    driver.quit()


def sliders_of(browser, cell):
    "The handles of the sliders in a cell, which is scrolled to"
    from selenium.webdriver.common.by import By
    browser.execute_async_script(f"const done = arguments[0]; {PANEL}.content.scrollToItem({cell}, "
                                 f"'center').then(() => setTimeout(() => done(true), 1500))")
    return [handle for handle in browser.find_elements(By.CSS_SELECTOR,
                                                       '.jp-Notebook .widget-slider .noUi-handle')
            if handle.is_displayed()]


@pytest.mark.parametrize('name', NOTEBOOKS)
def test_notebook_runs_and_its_slider_moves_the_picture(name, lab, browser):
    browser.get(f'{lab}/{name}.ipynb?reset')
    wait_for_value(browser, f'return window.jupyterapp && {PANEL} && {PANEL}.sessionContext && '
                            f'{PANEL}.sessionContext.session && {PANEL}.content.widgets.length > 5',
                   seconds=180)
    browser.execute_script("jupyterapp.commands.execute('application:toggle-left-area')")
    browser.execute_async_script(f"const done = arguments[0]; {PANEL}.sessionContext.ready.then(() => "
                                 f"done(true))")
    browser.execute_script(f"{PANEL}.content.model.sharedModel.cells.forEach((cell, i) => "
                           f"{{ if (/^\\s*#\\s*\\|\\s*slow/m.test(cell.source)) cell.setSource('') }})")
    browser.execute_script(RUN_ALL)
    wait_for_value(browser, 'return window.ran', seconds=900)
    outputs = browser.execute_script(OUTPUTS)
    errors = [output for cell in outputs for output in cell if output['output_type'] == 'error']
    assert not errors, errors[0]
    widgets = [i for i, cell in enumerate(outputs)
               if any('application/vnd.jupyter.widget-view+json' in output.get('data', {})
                      for output in cell)]
    assert widgets
    cell, sliders = next((i, sliders) for i in widgets if (sliders := sliders_of(browser, i)))
    for key in ('ArrowRight', 'ArrowLeft', 'ArrowRight',
                'ArrowLeft'): # there and back, twice: a slider may begin at an end
        took = browser.execute_async_script(MOVE, sliders[0], key)
        print(f'{name}: {key} changes the picture in {took:.0f} ms')
    if folder := os.environ.get('SSD_NB_SCREENSHOTS'):
        for width in (1280, 800):
            browser.set_window_size(width, 1000)
            sliders_of(browser, cell)
            browser.save_screenshot(f'{folder}/{name}_{width}.png')
