"""Writes a rank table, the file in which an Ascend host lists its devices for distributed training; reads one for run_distribute.sh."""
import json
import re
import socket
from pathlib import Path

from jsonargparse import ArgumentParser

import cli
from ssd_nb.plumbing.options import UserError


def options():
    parser = ArgumentParser(prog='rank_table.py', description=__doc__, exit_on_error=False, allow_abbrev=False)
    parser.add_argument('--device_num', type=int, default=8, help='how many devices take part: numbers 0, 1, 2 ...')
    parser.add_argument('--devices', type=str, default='', help='or their numbers, such as 4,5,6,7')
    parser.add_argument('--server_ip', type=str, default='', help='address of this host; left out: the one that its name stands for')
    parser.add_argument('--hccn_conf', type=str, default='/etc/hccn.conf', help='file of the driver with a row "address_0=ADDRESS" for each device')
    parser.add_argument('--output', type=str, default='rank_table.json', help='file to write')
    parser.add_argument('--read', type=str, default='', help='print the numbers of the devices that this table has for a host, and write nothing')
    parser.add_argument('--node_rank', type=int, default=0, help='number of the host, with --read')
    return cli.parse(parser)


def device_addresses(path):
    "The address of each device, by its number, out of the driver's file"
    try: text = Path(path).read_text()
    except OSError as error: raise UserError(f'--hccn_conf={path} cannot be read ({error.strerror}): run this on the Ascend host, as root.') from None
    found = {int(number): address for number, address in re.findall(r'^\s*address_(\d+)\s*=\s*(\S+)', text, flags=re.M)}
    if not found: raise UserError(f'--hccn_conf={path} has no row such as "address_0=192.168.100.101": the addresses of the devices are not set up.')
    return found


def rank_table(devices, addresses, server_ip):
    "The table of one host, as the tools of HCCL write it: all numbers are text"
    missing = [d for d in devices if d not in addresses]
    if missing: raise UserError(f'there is no address of device {missing[0]}: this host has the devices {", ".join(map(str, sorted(addresses)))}.')
    rows = [dict(device_id=str(d), device_ip=addresses[d], rank_id=str(rank)) for rank, d in enumerate(devices)]
    return dict(version='1.0', server_count='1', server_list=[dict(server_id=server_ip, device=rows, host_nic_ip='reserve')], status='completed')


def wanted_devices(given):
    "Numbers of the devices, in order of their ranks"
    if not given.devices: return list(range(given.device_num))
    if not re.fullmatch(r'\d+(,\d+)*', given.devices): raise UserError(f'--devices={given.devices} is not possible: give numbers such as 4,5,6,7.')
    devices = [int(d) for d in given.devices.split(',')]
    if len(set(devices)) < len(devices): raise UserError(f'--devices={given.devices} names a device twice.')
    return devices


def own_address(server_ip):
    try: return server_ip or socket.gethostbyname(socket.gethostname())
    except OSError: raise UserError('the address of this host is not known: give it with --server_ip.') from None


def devices_of(path, node_rank, device_num):
    "The devices that a table has for a host, in the order of their ranks; raises `UserError` for what is no table, or not for so many"
    try: servers = json.loads(Path(path).read_text())['server_list']
    except OSError as error: raise UserError(f'RANK_TABLE_FILE={path} cannot be read ({error.strerror}): scripts/rank_table.py writes one.') from None
    except (ValueError, KeyError, TypeError): raise UserError(f'RANK_TABLE_FILE={path} is no rank table: scripts/rank_table.py writes one.') from None
    if node_rank >= len(servers): raise UserError(f'RANK_TABLE_FILE={path} lists {len(servers)} hosts, so there is none with NODE_RANK={node_rank}.')
    devices = sorted(servers[node_rank]['device'], key=lambda device: int(device['rank_id']))
    if len(devices) != device_num:
        raise UserError(f'RANK_TABLE_FILE={path} lists {len(devices)} devices for this host, not DEVICE_NUM={device_num}: give as many, or write another table.')
    return [device['device_id'] for device in devices]


def main():
    given = options()
    if given.device_num < 1: raise UserError(f'--device_num={given.device_num} is not possible: give 1 or more.')
    if given.read: return print(*devices_of(given.read, given.node_rank, given.device_num))
    devices = wanted_devices(given)
    table = rank_table(devices, device_addresses(given.hccn_conf), own_address(given.server_ip))
    try: Path(given.output).write_text(json.dumps(table, indent=4) + '\n')
    except OSError as error: raise UserError(f'--output={given.output} cannot be written ({error.strerror}): give another.') from None
    print(f'{given.output}: {len(devices)} devices of {table["server_list"][0]["server_id"]}')


if __name__ == '__main__':
    cli.run(main)
