"""Installs ssd_nb; all it says comes from settings.ini. (pyproject.toml, which nbdev writes, points here.)"""
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
config = ConfigParser(delimiters=['='])
config.read(ROOT / 'settings.ini', encoding='utf-8')
settings = config['DEFAULT']
EXTRAS = 'dev', 'notebooks', 'gpu', 'tensorboard', 'onnx', 'fast'

setup(
    name=settings['lib_name'],
    version=settings['version'],
    description=settings['description'],
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    keywords=settings['keywords'],
    author=settings['author'],
    author_email=settings['author_email'],
    url=settings['git_url'],
    license='Apache-2.0',
    classifiers=['Framework :: Jupyter', 'Programming Language :: Python :: 3'],
    packages=[*find_packages(include=['ssd_nb', 'ssd_nb.*']), 'ssd_nb.recipes'],
    package_dir={'ssd_nb.recipes': 'recipes'}, # not in a checkout: `find_recipe_folder` looks in both places
    package_data={'ssd_nb.recipes': ['*.yaml']},
    python_requires=f">={settings['min_python']}",
    install_requires=settings['requirements'].split(),
    extras_require={name: settings[f'{name}_requirements'].split() for name in EXTRAS},
    entry_points={'console_scripts': settings['console_scripts'].split()},
)
