"""Writes a rank table, the file in which an Ascend host lists its devices for distributed training.

Reads one for run_distribute.sh.
"""
import json
import re
import socket
from pathlib import Path

from ssd_nb.plumbing.options import Option, OptionParser, UserError, check_value, run_command


def read_options(words):
    parser = OptionParser('rank_table.py',
                          'Writes a rank table, the file in which an Ascend host lists its devices '
                          'for distributed training; reads one for run_distribute.sh.',
                          'python scripts/rank_table.py --device_num=8 --output=rank_table.json')
    parser.add([
        Option('device_num', int, 8, 'how many devices take part: numbers 0, 1, 2 ...'),
        Option('devices', str, '', 'or their numbers, such as 4,5,6,7'),
        Option('server_ip', str, '', 'address of this host; empty: the one that its name stands for'),
        Option('hccn_conf', str, '/etc/hccn.conf',
               'file of the driver with a row "address_0=ADDRESS" for each device'),
        Option('output', str, 'rank_table.json', 'file to write'),
        Option('read', str, '', 'print the numbers of the devices that this table has for a host, and write '
                                'nothing'),
        Option('node_rank', int, 0, 'number of the host, with --read')])
    return parser.parse(words)


def read_addresses(path):
    "The address of each device, by its number, out of the driver's file"
    try: text = Path(path).read_text(encoding='utf-8', errors='replace')
    except OSError as error:
        raise UserError(f'--hccn_conf={path} cannot be read ({error.strerror}): '
                        'run this on the Ascend host, as root.') from None
    found = {int(number): address
             for number, address in re.findall(r'^\s*address_(\d+)\s*=\s*(\S+)', text, flags=re.M)}
    if found: return found
    raise UserError(f'--hccn_conf={path} has no row such as "address_0=192.168.100.101": '
                    'the addresses of the devices are not set up.')


def make_table(devices, addresses, server_ip):
    "The table of one host, as the tools of HCCL write it: all numbers are text"
    missing = [d for d in devices if d not in addresses]
    if missing:
        there = ', '.join(map(str, sorted(addresses)))
        raise UserError(f'there is no address of device {missing[0]}: this host has the devices {there}.')
    rows = [dict(device_id=str(d), device_ip=addresses[d], rank_id=str(rank)) for rank,
            d in enumerate(devices)]
    return dict(version='1.0', server_count='1', status='completed',
                server_list=[dict(server_id=server_ip, device=rows, host_nic_ip='reserve')])


def list_devices(given):
    "Numbers of the devices, in order of their ranks"
    if not given.devices: return list(range(given.device_num))
    numbers = re.fullmatch(r'[0-9]{1,6}(,[0-9]{1,6})*', given.devices)
    check_value(given, 'devices', numbers, 'numbers such as 4,5,6,7')
    devices = [int(d) for d in given.devices.split(',')]
    if len(set(devices)) < len(devices): raise UserError(f'--devices={given.devices} names a device twice.')
    return devices


def find_address(server_ip):
    "The address of this host"
    try: return server_ip or socket.gethostbyname(socket.gethostname())
    except OSError:
        raise UserError('the address of this host is not known: give it with --server_ip.') from None


FORM = dict(server_list=[dict(server_id=str, device=[dict(device_id=object, rank_id=object)])])
LARGEST = 100_000 # number of a device or a rank


def read_number(value, name):
    "A number of the table, which is text, as the tools of HCCL write it; raises `ValueError`"
    if re.fullmatch('[0-9]{1,6}', str(value)) and type(value) in (int, str) and int(value) <= LARGEST:
        return int(value)
    raise ValueError(f'{name} is {str(value)[:20]!r} instead of a number')


def read_servers(content):
    "Rank and number of the devices of each host, in the order of the table; raises `ValueError`"
    from ssd_nb.plumbing.own_files import find_misfit
    if wrong := find_misfit(content, FORM): raise ValueError(wrong)
    servers = [[(read_number(device['rank_id'], 'rank_id'), read_number(device['device_id'], 'device_id'))
                for device in server['device']] for server in content['server_list']]
    ranks = sorted(rank for server in servers for rank, _ in server)
    if ranks != list(range(len(ranks))): raise ValueError('its rank_id are not 0, 1, 2 ... in any order')
    for server in servers:
        if len({number for _, number in server}) < len(server): raise ValueError('a device_id is there twice')
    return servers


def read_table(path, node_rank, device_num):
    "The devices of a host in a table, in order of their ranks; raises `UserError` if the table does not fit"
    from ssd_nb.plumbing.own_files import read_own_json
    try: servers = read_servers(read_own_json(path, {str: object}))
    except OSError as error:
        raise UserError(f'RANK_TABLE_FILE={path} cannot be read ({error.strerror}): '
                        'scripts/rank_table.py writes one.') from None
    except ValueError as error:
        raise UserError(f'RANK_TABLE_FILE={path} is no rank table ({error}): '
                        'scripts/rank_table.py writes one.') from None
    if not 0 <= node_rank < len(servers):
        raise UserError(f'RANK_TABLE_FILE={path} lists {len(servers)} hosts, '
                        f'so there is none with NODE_RANK={node_rank}.')
    devices = [str(number) for _, number in sorted(servers[node_rank])]
    if len(devices) != device_num:
        raise UserError(f'RANK_TABLE_FILE={path} lists {len(devices)} devices for this host, '
                        f'not DEVICE_NUM={device_num}: give as many, or write another table.')
    return devices


def rank_table(words):
    "writes a rank table, or reads one"
    given = read_options(words)
    check_value(given, 'device_num', 1 <= given.device_num <= LARGEST, f'1 or more, up to {LARGEST}')
    if given.read: return print(*read_table(given.read, given.node_rank, given.device_num))
    devices = list_devices(given)
    table = make_table(devices, read_addresses(given.hccn_conf), find_address(given.server_ip))
    try: Path(given.output).write_text(json.dumps(table, indent=4) + '\n')
    except OSError as error:
        raise UserError(f'--output={given.output} cannot be written ({error.strerror}): '
                        'give another.') from None
    print(f'{given.output}: {len(devices)} devices of {table["server_list"][0]["server_id"]}')


if __name__ == '__main__':
    run_command(rank_table)
