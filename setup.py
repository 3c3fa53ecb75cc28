"""Installs ssd_nb; everything it says comes from settings.ini."""
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

config = ConfigParser(delimiters=['='], interpolation=None)
config.read(Path(__file__).parent / 'settings.ini', encoding='utf-8')
settings = config['DEFAULT']

setup(
    name=settings['lib_name'],
    version=settings['version'],
    description=settings['description'],
    author=settings['author'],
    license='Apache-2.0',
    packages=find_packages(include=['ssd_nb', 'ssd_nb.*']),
    python_requires=f">={settings['min_python']},<3.{int(settings['max_python'].split('.')[1]) + 1}",
    install_requires=settings['requirements'].split(),
    extras_require={'dev': settings['dev_requirements'].split()},
)
