# SPDX-License-Identifier: Apache-2.0
"""The API server as kubectl sees it, in several versions of kubectl."""

import json
import os
import signal
import subprocess
import time

import pytest


def config_map(name, **data):
    return json.dumps({'apiVersion': 'v1', 'kind': 'ConfigMap', 'metadata': {'name': name},
                       'data': data})


def test_create_apply_get_delete(kubectl):
    kubectl('apply', '-f', '-', stdin=config_map('crud', a='1'))
    kubectl('apply', '-f', '-', stdin=config_map('crud', b='2'))
    got = json.loads(kubectl('get', 'cm', 'crud', '-o', 'json').stdout)
    assert got['data'] == {'b': '2'}
    kubectl('delete', 'cm', 'crud')
    missing = kubectl('get', 'cm', 'crud', check=False)
    assert missing.returncode == 1
    assert 'configmaps "crud" not found' in missing.stderr


def test_unknown_field_is_refused(kubectl):
    bad = json.loads(config_map('bad', a='1'))
    bad['surprise'] = 1
    run = kubectl('apply', '-f', '-', stdin=json.dumps(bad), check=False)
    assert run.returncode == 1
    assert 'unknown field "surprise"' in run.stderr


def test_patch_types(kubectl):
    kubectl('create', 'deployment', 'patched', '--image=one')
    try:
        kubectl('patch', 'deployment', 'patched', '-p', json.dumps({'spec': {'template': {'spec': {
            'containers': [{'name': 'one', 'env': [{'name': 'A', 'value': 'b'}]}]}}}}))
        kubectl('patch', 'deployment', 'patched', '--type=json', '-p',
                '[{"op":"replace","path":"/spec/replicas","value":0}]')
        kubectl('patch', 'deployment', 'patched', '--type=merge', '-p',
                '{"metadata":{"labels":{"x":"y"}}}')
        got = json.loads(kubectl('get', 'deployment', 'patched', '-o', 'json').stdout)
        container = got['spec']['template']['spec']['containers'][0]
        assert container['image'] == 'one' and container['env'] == [{'name': 'A', 'value': 'b'}]
        assert got['spec']['replicas'] == 0
        assert got['metadata']['labels'] == {'app': 'patched', 'x': 'y'}
        assert got['metadata']['generation'] >= 3
    finally:
        kubectl('delete', 'deployment', 'patched', '--wait=false')


def test_server_side_apply_conflict(kubectl):
    kubectl('apply', '--server-side', '-f', '-', stdin=config_map('ssa', a='1'))
    try:
        run = kubectl('apply', '--server-side', '--field-manager=other', '-f', '-',
                      stdin=config_map('ssa', a='2'), check=False)
        assert run.returncode == 1
        assert '.data.a' in run.stderr and 'conflict' in run.stderr
        kubectl('apply', '--server-side', '--field-manager=other', '--force-conflicts', '-f', '-',
                stdin=config_map('ssa', a='2'))
        got = json.loads(kubectl('get', 'cm', 'ssa', '-o', 'json').stdout)
        assert got['data'] == {'a': '2'}
    finally:
        kubectl('delete', 'cm', 'ssa')


def test_explain_and_discovery(kubectl):
    text = kubectl('explain', 'pod.spec.containers').stdout
    assert 'image' in text and 'livenessProbe' in text
    names = kubectl('api-resources', '-o', 'name').stdout.split()
    for want in ('pods', 'deployments.apps', 'customresourcedefinitions.apiextensions.k8s.io'):
        assert want in names
    assert 'v1.36' in kubectl('version').stdout


def test_watch_sees_every_change(kubectl, api):
    watch = subprocess.Popen(
        [kubectl.binary, '--kubeconfig', api.kubeconfig, 'get', 'cm', '-w', '--output-watch-events',
         '-l', 'watched=yes', '-o', 'json'],
        stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(0.5)
        obj = json.loads(config_map('watched', n='0'))
        obj['metadata']['labels'] = {'watched': 'yes'}
        kubectl('create', '-f', '-', stdin=json.dumps(obj))
        kubectl('patch', 'cm', 'watched', '-p', '{"data":{"n":"1"}}')
        kubectl('delete', 'cm', 'watched')
        time.sleep(0.3)
    finally:
        watch.send_signal(signal.SIGTERM)
    out = watch.communicate(timeout=10)[0]
    types = [json.loads(line)['type'] for line in out.splitlines()]
    assert types == ['ADDED', 'MODIFIED', 'DELETED']


def test_dry_run_changes_nothing(kubectl):
    kubectl('create', 'cm', 'ghost', '--dry-run=server')
    assert kubectl('get', 'cm', 'ghost', check=False).returncode == 1


def test_invalid_object_has_causes(api):
    run = api.kubectl('create', 'service', 'clusterip', 'Bad_Name', '--tcp=80:80', check=False)
    assert run.returncode == 1
    assert 'metadata.name' in run.stderr


def test_acknowledged_writes_survive_kill(api):
    """kill -9 of the server while a client writes: what was acknowledged is there afterwards."""
    acknowledged = []
    for i in range(5):
        for k in range(5):
            name = 'kept-%d-%d' % (i, k)
            run = api.kubectl('create', 'cm', name, check=False)
            if run.returncode == 0:
                acknowledged.append(name)
            if k == 2:
                os.kill(api.pid('server'), signal.SIGKILL)
                api.wait_api()
    names = {o['metadata']['name'] for o in api.get('cm')['items']}
    assert acknowledged and not set(acknowledged) - names


@pytest.mark.skipif(os.geteuid() != 0, reason='reads another user\'s memory map')
def test_server_footprint(api):
    with open('/proc/%d/smaps_rollup' % api.pid('server'), encoding='ascii') as f:
        pss = next(int(line.split()[1]) for line in f if line.startswith('Pss:'))
    assert pss < 32 * 1024, 'server holds %d KiB' % pss
