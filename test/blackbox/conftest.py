# SPDX-License-Identifier: Apache-2.0
"""What black-box tests share: clusters of their own, and kubectl in the versions at hand."""

import glob
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

import pytest

BARQUE = os.environ.get('BARQUE', os.path.join(os.path.dirname(__file__), '..', '..', 'build',
                                               'barque'))
PORTS = iter(range(23100, 24000, 10))


def kubectls():
    """Every kubectl on the machine, and Debian's 1.20, unpacked aside when it is not installed."""
    found = sorted(glob.glob('/usr/lib/google-cloud-sdk/bin/kubectl.1.*'))
    found = found[:1] + found[-1:] if len(found) > 1 else found
    installed = shutil.which('kubectl')
    if installed and not found:
        found = [installed]
    debian = os.path.join(tempfile.gettempdir(), 'barque-kubectl', 'usr', 'bin', 'kubectl')
    if not os.path.exists(debian):
        folder = tempfile.mkdtemp()
        got = subprocess.run(['apt-get', 'download', '-q', 'kubernetes-client'], cwd=folder,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        debs = glob.glob(os.path.join(folder, '*.deb'))
        if got.returncode == 0 and debs:
            os.makedirs(os.path.join(tempfile.gettempdir(), 'barque-kubectl'), exist_ok=True)
            subprocess.run(['dpkg', '-x', debs[0],
                            os.path.join(tempfile.gettempdir(), 'barque-kubectl')], check=True)
        shutil.rmtree(folder)
    if os.path.exists(debian):
        found.insert(0, debian)
    assert found, 'no kubectl on this machine'
    return found


KUBECTLS = kubectls()


def free_port():
    for port in PORTS:
        with socket.socket() as s:
            if s.connect_ex(('127.0.0.1', port)) != 0:
                return port
    raise RuntimeError('no free port')


class Cluster:
    """A cluster in a folder of its own."""

    def __init__(self, agent):
        self.dir = tempfile.mkdtemp(prefix='barque-test-')
        os.chmod(self.dir, 0o755)
        self.port = free_port()
        self.name = 't%d' % self.port
        self.agent = agent
        self.kubeconfig = os.path.join(self.dir, 'admin.kubeconfig')

    def up(self):
        argv = [BARQUE, 'up', '--detach', '--data-dir', self.dir, '--port', str(self.port),
                '--name', self.name]
        if not self.agent:
            argv.append('--no-agent')
        subprocess.run(argv, check=True, timeout=90)

    def pid(self, role):
        with open(os.path.join(self.dir, 'run', role + '.pid'), encoding='ascii') as f:
            return int(f.read())

    def kubectl(self, *args, binary=None, stdin=None, check=True, timeout=60):
        run = subprocess.run([binary or KUBECTLS[-1], '--kubeconfig', self.kubeconfig, *args],
                             input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             timeout=timeout, check=False)
        if check and run.returncode != 0:
            raise AssertionError('kubectl %s: %s' % (' '.join(args), run.stderr))
        return run

    def get(self, *args):
        return json.loads(self.kubectl('get', *args, '-o', 'json').stdout)

    def apply(self, obj, **kw):
        text = obj if isinstance(obj, str) else json.dumps(obj)
        return self.kubectl('apply', '-f', '-', stdin=text, **kw)

    def wait_api(self):
        """Until the server answers, after it was killed."""
        deadline = time.monotonic() + 10
        while self.kubectl('get', '--raw', '/readyz', check=False).returncode != 0:
            assert time.monotonic() < deadline, 'the server does not come back'
            time.sleep(0.05)

    def stop(self):
        """Ends all processes and shows that none is left."""
        pids = []
        for role in ('supervisor', 'server', 'agent'):
            try:
                pids.append(self.pid(role))
            except (OSError, ValueError):
                pass
        if pids:
            os.kill(pids[0], 15)
        deadline = time.monotonic() + 20
        while any(alive(p) for p in pids) and time.monotonic() < deadline:
            time.sleep(0.02)
        left = [p for p in pids if alive(p)]
        for p in left:
            os.kill(p, 9)
        shutil.rmtree(self.dir, ignore_errors=True)
        assert not left, 'processes were left: %s' % left


def alive(pid):
    try:
        with open('/proc/%d/stat' % pid, encoding='ascii') as f:
            return f.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except OSError:
        return False


@pytest.fixture(scope='module')
def api():
    """An API server with controllers and scheduler, without a node."""
    c = Cluster(agent=False)
    c.up()
    yield c
    c.stop()


@pytest.fixture(params=KUBECTLS, ids=lambda p: os.path.basename(os.path.realpath(p)) +
                ('-debian' if 'barque-kubectl' in p else ''))
def kubectl(request, api):
    """kubectl in each version: kubectl('get', 'ns')."""
    def call(*args, **kw):
        return api.kubectl(*args, binary=request.param, **kw)
    call.binary = request.param
    return call
