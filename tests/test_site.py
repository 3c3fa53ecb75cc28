"""The website of the notebooks: whole, linked, and readable without a network."""
import sys

import pytest
from bs4 import BeautifulSoup
from conftest import ROOT

sys.path.insert(0, str(ROOT / 'scripts/maintain'))

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def pages(tmp_path_factory):
    "name of the file -> its parsed HTML"
    from build_site import build
    folder = tmp_path_factory.mktemp('site')
    build(folder, [])
    return {path.name: BeautifulSoup(path.read_text(), 'html.parser')
            for path in folder.glob('*.html')} | {'folder': folder}


def test_every_notebook_has_a_page(pages):
    for path in (ROOT / 'nbs').glob('*.ipynb'): assert f'{path.stem}.html' in pages
    assert {'readme.html', 'commands.html'} <= set(pages)


def test_names_of_files_are_text():
    from build_site import open_template
    page = open_template().render(name='<i>&"', title='<script>', pages=['<b>"'], plumbing=[], body='<p>',
                                  origin='a&b"<u>', source='https://a.org', git_url='https://a.org')
    soup = BeautifulSoup(page, 'html.parser')
    assert not soup.find_all(['script', 'b', 'i', 'u'])
    assert soup.find('title').get_text().startswith('<script>')


def test_every_link_inside_leads_somewhere(pages):
    folder = pages['folder']
    for name, page in pages.items():
        if name == 'folder': continue
        for tag in page.find_all('a', href=True):
            address, _, anchor = tag['href'].partition('#')
            if ':' in address: continue
            target = pages[address] if address else page
            assert not anchor or target.find(id=anchor), f'{name}: {tag["href"]}'
        for tag in page.find_all('img'):
            assert tag['src'].startswith('data:') or (folder / tag['src']).is_file(), f'{name}: {tag["src"]}'


def test_pages_need_no_network(pages):
    for name, page in pages.items():
        if name == 'folder': continue
        assert not page.find_all(['link', 'iframe']), name
        for script in page.find_all('script'):
            assert not script.get_text() and (pages['folder'] / script['src']).is_file(), name
        assert 'url(' not in page.find('style').get_text(), name


def test_formulas_exports_and_answers_are_there(pages):
    assert len(pages['04_loss.html'].find_all('math')) > 10
    assert '$' not in ''.join(p.get_text() for p in pages['04_loss.html'].find_all('p')
                              if not p.find(['code', 'math', 'annotation']))
    assert 'def iou' in ''.join(cell.get_text()
                                for cell in pages['00_boxes.html'].find_all(class_='exported'))
    assert len(pages['00_boxes.html'].find_all('details')) >= 3
