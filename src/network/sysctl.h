/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sysctl.h: the kernel settings that pods need, and putting back those that are the host's.
 *
 * Forwarding between links (net.ipv4.ip_forward, net.ipv6.conf.all.forwarding) is one switch for
 * the whole host, and turning it makes the kernel reset others: those are recorded too. What was
 * is also noted in the alias of our bridge, so that a second cluster on this host does not take
 * the first one's doing for the original state, and the last one to leave restores it.
 */
#ifndef BARQUE_NETWORK_SYSCTL_H
#define BARQUE_NETWORK_SYSCTL_H

#include "network/plan.h"
#include "network/record.h"

/* Adds to the record what is to be restored of the family's forwarding, if it is off now, or was
 * before another cluster came. */
void sysctl_record_forwarding(struct record_host *h, bool six, bool was_off);
/* "; IPv4 forwarding was off": for the alias; "" when it was on. */
const char *sysctl_note(const struct record_host *h);
bool sysctl_note_says_off(const char *alias, bool six);

/* Turns forwarding on, and sets the bridge's own. */
int sysctl_apply(const struct plan *p, struct err *e) MUST_USE;
int sysctl_restore(const struct record_host *h, struct err *e) MUST_USE;

#endif
