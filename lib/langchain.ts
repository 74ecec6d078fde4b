import { Document, type DocumentInterface } from '@langchain/core/documents';
import type { EmbeddingsInterface } from '@langchain/core/embeddings';
import { type MaxMarginalRelevanceSearchOptions, VectorStore } from '@langchain/core/vectorstores';
import { open } from './collection';
import { AuspexError, rangeError, typeError } from './errors';
import { readOptions, type Schema } from './options';
import type { Collection, Filter, Metadata, OpenOptions } from './types';

/** A collection that holds documents: the text of each stands in its row's metadata, beside the document's own. */
export interface AuspexStoreOptions {
  /** A collection that is open, here or over a port. Its metric gives the scores. */
  // biome-ignore lint/suspicious/noExplicitAny: metadata of one type are not those of another
  collection: Collection<any>;
  /** Key of the metadata that holds the text: `'text'` when left out. */
  textKey?: string;
}

/** How to open a collection for documents. `dim` is the embedding's when left out. */
export type AuspexOpenOptions = OpenOptions<Metadata> & {
  /** The collection's folder; in memory when left out. */
  path?: string;
  /** Key of the metadata that holds the text: `'text'` when left out. */
  textKey?: string;
};

/** Which documents to delete: one of the three. */
export type AuspexDelete<M = Metadata> =
  | {
      /** Those with these ids; an unknown one is no error. */
      ids: string[];
    }
  | {
      /** Those whose metadata match. */
      filter: Filter<M>;
    }
  | {
      /** All of them. */
      deleteAll: true;
    };

const DELETE: Schema<{ ids: string[]; filter: unknown; deleteAll: boolean }> = {
  ids: 'object',
  filter: 'any',
  deleteAll: 'boolean',
};

/**
 * A LangChain.js vector store over a collection. Metadata are stored as they are, so a filter asks for their keys;
 * a score is the collection's: larger is nearer (`cosine`: the cosine, `dot`: the inner product, `l2`: 1 / (1 + distance)).
 *
 * @typeParam M what a document's metadata hold
 * @example
 * const store = await AuspexVectorStore.fromDocuments(documents, embeddings, { path: './notes.auspex' });
 * const retriever = store.asRetriever({ k: 5, filter: { year: { $gte: 2020 } } });
 */
export class AuspexVectorStore<M extends object = Metadata> extends VectorStore {
  /** What a filter is: the collection's. */
  declare FilterType: Filter<M>;

  /** Where the documents are. */
  // biome-ignore lint/suspicious/noExplicitAny: metadata of one type are not those of another
  readonly collection: Collection<any>;
  /** Key of the metadata that holds the text. */
  readonly textKey: string;

  constructor(embeddings: EmbeddingsInterface, { collection, textKey = 'text' }: AuspexStoreOptions) {
    super(embeddings, {});
    this.collection = collection;
    this.textKey = textKey;
  }

  override _vectorstoreType(): string {
    return 'auspex';
  }

  /**
   * Embeds documents and writes them, all or none. One whose id is known replaces it.
   *
   * @param options `ids`, one a document; else each document's own, or a random one
   * @returns the ids
   */
  override async addDocuments(documents: DocumentInterface[], options?: { ids?: string[] }): Promise<string[]> {
    const vectors = await this.embeddings.embedDocuments(documents.map(({ pageContent }) => pageContent));
    return this.addVectors(vectors, documents, options);
  }

  /**
   * The same with vectors that are there already.
   *
   * @throws RangeError (`ERR_ARGUMENT`) when the arrays differ in length, or a document's metadata have the key that
   *   holds the text
   */
  override async addVectors(
    vectors: number[][],
    documents: DocumentInterface[],
    { ids: given }: { ids?: string[] } = {},
  ): Promise<string[]> {
    if (vectors.length !== documents.length)
      throw rangeError(`vectors has ${vectors.length} entries for ${documents.length} documents`);
    if (given && given.length !== documents.length)
      throw rangeError(`ids has ${given.length} entries for ${documents.length} documents`);
    const ids = documents.map(({ id }, i) => given?.[i] ?? id ?? globalThis.crypto.randomUUID());
    const metadata = documents.map((document, i) => {
      if (!Object.hasOwn(document.metadata ?? {}, this.textKey))
        return { ...document.metadata, [this.textKey]: document.pageContent };
      const key = JSON.stringify(this.textKey);
      throw rangeError(`documents[${i}].metadata has the key ${key}, which holds the text: give another textKey`);
    });
    await this.collection.upsert({ ids, vectors, metadata });
    return ids;
  }

  /** @throws TypeError (`ERR_ARGUMENT`) unless it is one of the three; `ERR_FILTER` */
  override async delete(what: AuspexDelete<M>): Promise<void> {
    const { ids, filter, deleteAll, ...none } = readOptions(what, DELETE) as Record<string, unknown>;
    const given = [ids, filter, deleteAll].filter((each) => each !== undefined && each !== false);
    if (given.length !== 1) throw typeError('what', 'one of { ids }, { filter } and { deleteAll: true }', what ?? none);
    if (deleteAll) await this.collection.clear();
    else await this.collection.delete(ids ? (ids as string[]) : { filter: filter as Filter<M> });
  }

  override async similaritySearchVectorWithScore(
    query: number[],
    k: number,
    filter?: this['FilterType'],
  ): Promise<[Document, number][]> {
    const hits = await this.collection.search(query, { k, ...(filter && { filter }) });
    return hits.map(({ id, score, metadata }) => [this.#document(id, metadata), score]);
  }

  /**
   * Documents that are near the query and far from one another, by the collection's distance; with `cosine` they are those
   * of LangChain's own function.
   *
   * @param options `k` documents of the `fetchK` (20) nearest; `lambda` (0.5) from 0, the most various, to 1, the nearest
   * @throws RangeError (`ERR_ARGUMENT`) naming the option of `search` that it comes to: `k`, `diversify.fetch`,
   *   `diversify.lambda`; `ERR_FILTER`
   */
  override async maxMarginalRelevanceSearch(
    query: string,
    { k, fetchK = 20, lambda = 0.5, filter }: MaxMarginalRelevanceSearchOptions<this['FilterType']>,
  ): Promise<Document[]> {
    const embedded = await this.embeddings.embedQuery(query);
    const diversify = { lambda, fetch: Math.max(k, fetchK) };
    const hits = await this.collection.search(embedded, { k, diversify, ...(filter && { filter }) });
    return hits.map(({ id, metadata }) => this.#document(id, metadata));
  }

  /** Closes the collection. */
  async close(): Promise<void> {
    await this.collection.close();
  }

  #document(id: string, stored: unknown): Document {
    const { [this.textKey]: text, ...metadata } = stored as Record<string, unknown>;
    if (typeof text === 'string') return new Document({ id, pageContent: text, metadata });
    const key = JSON.stringify(this.textKey);
    throw new AuspexError(
      'ERR_NOT_FOUND',
      `the metadata of row ${JSON.stringify(id)} have no text at ${key}: give its textKey`,
    );
  }

  /**
   * Embeds texts and stores them in a collection: one that is open, or one to open.
   *
   * @param metadatas one a text, or one for all
   */
  static override async fromTexts<M extends object = Metadata>(
    texts: string[],
    metadatas: M[] | M,
    embeddings: EmbeddingsInterface,
    config: AuspexStoreOptions | AuspexOpenOptions = {},
  ): Promise<AuspexVectorStore<M>> {
    if (Array.isArray(metadatas) && metadatas.length !== texts.length)
      throw rangeError(`metadatas has ${metadatas.length} entries for ${texts.length} texts`);
    const metadataOf = (i: number) => (Array.isArray(metadatas) ? metadatas[i] : metadatas) ?? {};
    const documents = texts.map((pageContent, i) => new Document({ pageContent, metadata: metadataOf(i) }));
    return AuspexVectorStore.fromDocuments(documents, embeddings, config);
  }

  /** Embeds documents and stores them in a collection: one that is open, or one to open. */
  static override async fromDocuments<M extends object = Metadata>(
    documents: DocumentInterface[],
    embeddings: EmbeddingsInterface,
    config: AuspexStoreOptions | AuspexOpenOptions = {},
  ): Promise<AuspexVectorStore<M>> {
    const vectors = await embeddings.embedDocuments(documents.map(({ pageContent }) => pageContent));
    const dim = vectors[0]?.length;
    const store = await AuspexVectorStore.fromExistingCollection<M>(embeddings, dim ? { dim, ...config } : config);
    try {
      await store.addVectors(vectors, documents);
    } catch (error) {
      if (!('collection' in config)) await store.close();
      throw error;
    }
    return store;
  }

  /** A store over a collection: one that is open, or one to open. */
  static async fromExistingCollection<M extends object = Metadata>(
    embeddings: EmbeddingsInterface,
    config: AuspexStoreOptions | AuspexOpenOptions,
  ): Promise<AuspexVectorStore<M>> {
    const { textKey = 'text' } = config;
    if ('collection' in config) return new AuspexVectorStore<M>(embeddings, { collection: config.collection, textKey });
    const { path, textKey: _, ...options } = config;
    // Two kinds of arguments, of which the one without a folder needs `dim`.
    const collection = path === undefined ? await open(options as { dim: number }) : await open(path, options);
    return new AuspexVectorStore<M>(embeddings, { collection, textKey });
  }
}
