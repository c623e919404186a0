/* SPDX-License-Identifier: Apache-2.0 */
/*
 * images.h: the images of one engine: names, content, unpacked layers.
 *
 * The store is plain files under <engine root>/images, safe for several processes at once: the
 * agent and `barque image import` share it through file locks, and each sees the other's changes.
 * Everything blocks and is thread-safe: call it on a worker, or from a tool without a loop.
 *
 *   index.json      which images there are, replaced in one durable step
 *   blobs/sha256/   manifests, configurations, compressed layers (content.h)
 *   layers/         unpacked layers by chain id (layers.h)
 *   ingest/         unfinished work
 *   lock, busy      locks: of the index; shared by those who use what the index may not name yet
 */
#ifndef BARQUE_ENGINE_IMAGES_H
#define BARQUE_ENGINE_IMAGES_H

#include "engine/content.h"
#include "engine/oci_image.h"

enum { IMAGES_MAX = 10000 };

/* A copy on the caller's arena. */
struct image {
    struct str id;           /* digest of the configuration, "sha256:..." */
    struct str manifest;     /* digest of the manifest */
    struct str_list tags;    /* "docker.io/library/nginx:latest" */
    struct str_list digests; /* "docker.io/library/nginx@sha256:..." */
    struct str_list layers;  /* chain ids, bottom first */
    struct str user;         /* as in the configuration: "", "1000", "www:www" */
    uint64_t size;           /* bytes of all blobs, compressed */
    bool pinned;             /* not to be collected by the node agent */
};

struct image_store;

/* Makes the folders when missing. Errors: ERR_IO, ERR_INVALID (index.json is damaged). */
int image_store_open(const char *engine_root, struct image_store **ret, struct err *e) MUST_USE;
void image_store_close(struct image_store *s);
const struct content *image_store_content(const struct image_store *s);

int image_list(struct image_store *s, struct arena *a, struct image **ret_v, size_t *ret_n,
               struct err *e) MUST_USE;
/* By name (normalised as reference.h says), by id, or by a prefix of the id's hex of at least 12
 * digits. ERR_NOT_FOUND: `image "x" not found`. */
int image_find(struct image_store *s, struct arena *a, struct str name, struct image *ret,
               struct err *e) MUST_USE;
/* The configuration of an image. */
int image_config(struct image_store *s, struct arena *a, const struct image *image,
                 struct oci_config *ret, struct err *e) MUST_USE;

/* From the time on when content that no image names yet is put into the store (a pull, an import,
 * a container about to be made) until the index or the container's folder names it, hold this:
 * nothing is swept meanwhile. */
int image_busy_begin(struct image_store *s, struct err *e) MUST_USE; /* a token >= 0 */
void image_busy_end(struct image_store *s, int token);

/* Checks that the manifest's blobs are there, unpacks what is not unpacked yet and records the
 * image under the reference's tag (if it has one), which moves here from an earlier image, and
 * under repo_digest: what the registry answered for the name, of a manifest or of an index (empty:
 * none). */
int image_add(struct image_store *s, struct arena *a, const struct reference *ref,
              struct str manifest_digest, struct str repo_digest, struct image *ret,
              struct err *e) MUST_USE;
/* Forgets the image with all its names, then sweeps. ERR_NOT_FOUND. Layers that containers stand
 * on stay until these are gone. */
int image_remove(struct image_store *s, struct str name, struct err *e) MUST_USE;
/* Removes blobs and layers that no image and no container needs; nothing while anybody is busy. */
int image_sweep(struct image_store *s, struct err *e) MUST_USE;

/* On disk: unpacked layers and blobs. */
int image_usage(struct image_store *s, uint64_t *ret_bytes, uint64_t *ret_inodes,
                struct err *e) MUST_USE;

/* Brings in an image from `path`: an OCI image layout (folder or tar), a docker-archive as
 * `docker save` writes (tar or folder), or a root filesystem (folder or tar, any compression) that
 * becomes an image of one layer whose command is /bin/sh. */
int image_import(struct image_store *s, struct arena *a, struct str name, const char *path,
                 struct image *ret, struct err *e) MUST_USE;

#endif
