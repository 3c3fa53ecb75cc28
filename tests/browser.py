"""A Chromium without a window, for the tests that use a notebook or a page as a reader does."""
import shutil
import time

import pytest

with_browser = pytest.mark.skipif(not (shutil.which('chromium') and shutil.which('chromedriver')),
                                  reason='needs chromium and chromedriver (on Debian: '
                                         'apt-get install chromium chromium-driver)')
QUIET = ('--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
         '--disable-background-networking', '--disable-component-update', '--disable-sync',
         '--hide-scrollbars')


def open_browser(profile, *more, **capabilities):
    "A driver with a profile of its own; `more` are further arguments of Chromium"
    from selenium import webdriver
    options = webdriver.ChromeOptions()
    for argument in (*QUIET, *more, f'--user-data-dir={profile}'): options.add_argument(argument)
    options.binary_location = shutil.which('chromium')
    for name, value in capabilities.items(): options.set_capability(f'goog:{name}', value)
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which('chromedriver')))
    driver.set_window_size(1280, 1000)
    driver.set_script_timeout(100)
    return driver


def wait_for_value(browser, script, seconds=60, status='return ""'):
    "The value of a script in the page, as soon as it has one; `status` is another, for the message"
    for _ in range(seconds * 20):
        if (value := browser.execute_script(script)): return value
        time.sleep(0.05)
    raise AssertionError(f'{script} had no value within {seconds} seconds; {browser.execute_script(status)}')
