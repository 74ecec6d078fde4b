"""The process of one measurement of a library of Python: reads a job from the command line, prints its outcome.

It is what runner.mts is for libraries of npm. Where a library answers many queries in one call, CPU time is that of
such calls on one thread, which leaves Python itself out; p50 and p99 are of single calls.
"""

import gc
import importlib.metadata
import json
import os
import sys
import time

import numpy as np

job = json.loads(sys.argv[1])
data = job["set"]
dim, k, threads, files = data["dim"], job["k"], job["threads"], job["files"]
cosine = data["metric"] == "cosine"


def floats(name):
    return np.fromfile(os.path.join(data["folder"], name), np.float32).reshape(-1, dim)


base, queries = floats("base.f32"), floats("queries.f32")
truth = np.fromfile(os.path.join(data["folder"], "truth.i32"), np.int32).reshape(-1, data["width"])


class Hnswlib:
    package = "hnswlib"

    def build(self, m, efConstruction):
        import hnswlib

        self.index = hnswlib.Index("ip" if cosine else "l2", dim)
        self.index.init_index(len(base), ef_construction=efConstruction, M=m)
        self.index.add_items(base, num_threads=threads)

    def prepare(self, ef):
        self.index.set_ef(ef)

    def search(self, some):
        return self.index.knn_query(some, k, num_threads=1)[0]

    def save(self):
        self.index.save_index(os.path.join(files, "index"))


class Faiss:
    package = "faiss-cpu"

    def build(self, m, efConstruction):
        import faiss

        faiss.omp_set_num_threads(threads)
        self.index = faiss.IndexHNSWFlat(dim, m, faiss.METRIC_INNER_PRODUCT if cosine else faiss.METRIC_L2)
        self.index.hnsw.efConstruction = efConstruction
        self.index.add(base)
        faiss.omp_set_num_threads(1)

    def prepare(self, ef):
        self.index.hnsw.efSearch = ef

    def search(self, some):
        return self.index.search(some, k)[1]

    def save(self):
        import faiss

        faiss.write_index(self.index, os.path.join(files, "index"))


class Usearch:
    package = "usearch"

    def build(self, m, efConstruction, quantization):
        from usearch.index import Index

        self.index = Index(
            ndim=dim,
            metric="ip" if cosine else "l2sq",
            dtype=quantization,
            connectivity=m,
            expansion_add=efConstruction,
        )
        self.index.add(np.arange(len(base), dtype=np.uint64), base, threads=threads)

    def prepare(self, ef):
        self.index.expansion_search = ef

    def search(self, some):
        return self.index.search(some, k, threads=1).keys.reshape(len(some), -1)

    def save(self):
        self.index.save(os.path.join(files, "index"))


class Glass:
    package = "pyglass-portable"

    def build(self, m, efConstruction, quantization):
        import glass

        glass.set_num_threads(threads)
        metric = "IP" if cosine else "L2"
        graph = glass.Index("HNSW", metric, quantization, 2 * m, efConstruction).build(base)
        self.searcher = glass.Searcher(graph, base, metric, quantization)
        self.searcher.optimize(threads)

    def prepare(self, ef):
        self.searcher.set_ef(ef)

    def search(self, some):
        return np.asarray(self.searcher.batch_search(some, k, 1)).reshape(len(some), -1)

    def single(self, query):
        return self.searcher.search(query, k)


class Chroma:
    package = "chromadb"

    def build(self, m, efConstruction):
        import chromadb

        self.collection = chromadb.PersistentClient(files).create_collection(
            "rows",
            embedding_function=None,
            configuration={
                "hnsw": {
                    "space": "ip" if cosine else "l2",
                    "max_neighbors": m,
                    "ef_construction": efConstruction,
                    "num_threads": threads,
                }
            },
        )
        for at in range(0, len(base), 5000):
            part = base[at : at + 5000]
            self.collection.add(ids=[str(at + i) for i in range(len(part))], embeddings=part)

    def prepare(self, ef):
        self.collection.modify(configuration={"hnsw": {"ef_search": ef, "num_threads": 1}})

    def single(self, query):
        found = self.collection.query(query_embeddings=query[None], n_results=k, include=[])
        return [int(name) for name in found["ids"][0]]


class QdrantEdge:
    package = "qdrant-edge-py"

    def build(self, m, efConstruction):
        import qdrant_edge as qdrant

        hnsw = qdrant.HnswIndexConfig(m, efConstruction, 10, max_indexing_threads=threads)
        config = qdrant.EdgeConfig(
            vectors=qdrant.EdgeVectorParams(dim, qdrant.Distance.Dot if cosine else qdrant.Distance.Euclid),
            hnsw_config=hnsw,
            optimizers=qdrant.EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=10),
            max_search_threads=1,
        )
        self.qdrant, self.shard = qdrant, qdrant.EdgeShard.create(files, config)
        for at in range(0, len(base), 5000):
            points = [qdrant.Point(at + i, row.tolist()) for i, row in enumerate(base[at : at + 5000])]
            self.shard.update(qdrant.UpdateOperation.upsert_points(points))
        self.shard.optimize()

    def prepare(self, ef):
        self.params = self.qdrant.SearchParams(hnsw_ef=ef)

    def single(self, query):
        # A list of numbers is what it takes; made here, as it is for every other caller.
        q = self.qdrant
        found = self.shard.query(q.QueryRequest(k, query=q.Query.Nearest(query.tolist()), params=self.params))
        return [point.id for point in found]


SUBJECTS = {
    "hnswlib": Hnswlib,
    "faiss": Faiss,
    "usearch (Python)": Usearch,
    "pyglass": Glass,
    "chromadb": Chroma,
    "qdrant-edge": QdrantEdge,
}


def resident():
    """Bytes of this process in memory; nothing where the system has no /proc."""
    gc.collect()
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except FileNotFoundError:
        return None


def point(subject, ef):
    subject.prepare(ef)
    batched = hasattr(subject, "search")
    single = getattr(subject, "single", None) or (lambda query: subject.search(query[None]))
    seconds, found, begun = job["seconds"], [], time.perf_counter()
    for query in queries:
        found.append(np.asarray(single(query)).reshape(-1)[:k])
        if len(found) >= 100 and time.perf_counter() - begun > 4 * seconds:
            break
    asked = queries[: len(found)]
    hits = sum(len(np.intersect1d(rows, truth[i, :k])) for i, rows in enumerate(found))
    # Single calls, for the clock on the wall.
    times, cpu, end = [], time.process_time(), time.perf_counter() + seconds
    for _ in range(job["passes"]):
        for query in asked:
            at = time.perf_counter()
            single(query)
            now = time.perf_counter()
            times.append(now - at)
            if now > end and len(times) >= 100:
                break
        if time.perf_counter() > end:
            break
    cpu = (time.process_time() - cpu) / len(times)
    if batched:
        calls, end, begun = 0, time.perf_counter() + seconds, time.process_time()
        while calls < job["passes"] and (calls == 0 or time.perf_counter() < end):
            subject.search(asked)
            calls += 1
        cpu = (time.process_time() - begun) / (calls * len(asked))
    micros = np.sort(np.array(times)) * 1e6

    def at(share):
        return round(float(micros[int(np.ceil(share * len(micros))) - 1]), 2)

    return {
        "efSearch": ef,
        "recall": round(hits / (k * len(found)), 4),
        "p50": at(0.5),
        "p99": at(0.99),
        "mean": round(float(micros.mean()), 2),
        "cpuMicroseconds": round(cpu * 1e6, 2),
    }


def main():
    subject = SUBJECTS[job["rival"]]()
    before = resident()
    wall, cpu = time.perf_counter(), time.process_time()
    subject.build(**job["build"])
    ms, cpu_ms = 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)
    after = resident()
    points = []
    for ef in job["efSearch"]:
        points.append(point(subject, ef))
        if points[-1]["recall"] > job.get("until", 1):
            break
    if hasattr(subject, "save"):
        subject.save()
    bytes_ = sum(os.path.getsize(os.path.join(at, name)) for at, _, names in os.walk(files) for name in names)
    outcome = {
        "version": importlib.metadata.version(subject.package),
        "build": {"ms": round(ms, 3), "cpuMs": round(cpu_ms, 3)},
        "points": points,
    }
    if before is not None:
        outcome["rss"] = after - before
    if bytes_:
        outcome["bytes"] = bytes_
    print("outcome " + json.dumps(outcome), flush=True)
    # Some libraries crash or wait while Python ends.
    os._exit(0)


main()
