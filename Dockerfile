# Node by the digest of its index, which has amd64 and arm64; nothing that is built depends on the machine:
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg COMMIT=$(git rev-parse HEAD) .
# The digest of a newer one: docker buildx imagetools inspect node:24-bookworm-slim
ARG BASE=node:24.21.0-bookworm-slim@sha256:d6aa754f16b3197301076f047b5def2f02ea1dbbc2ca920407d46d7ec7f87b20
FROM --platform=$BUILDPLATFORM ${BASE} AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY tsconfig.json ./
COPY config/tsconfig.build.json config/
COPY src src
RUN npm run build && npm prune --omit=dev --omit=optional --ignore-scripts

FROM ${BASE}
ARG COMMIT=unknown
ENV NODE_ENV=production SHARESTREAM_COMMIT=$COMMIT
WORKDIR /opt/sharestream
COPY --from=build /build/package.json ./
COPY --from=build /build/node_modules node_modules
COPY --from=build /build/dist dist
COPY LICENSE ./
RUN install -d -o node -g node -m 0700 /var/lib/sharestream
ENV SHARESTREAM_DATA_DIR=/var/lib/sharestream
VOLUME /var/lib/sharestream
USER node
EXPOSE 3333 9332
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
  CMD ["node", "-e", "const l = process.env.SHARESTREAM_METRICS__LISTEN || '127.0.0.1:9332'; fetch('http://127.0.0.1:' + l.slice(l.lastIndexOf(':') + 1) + '/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/main.js"]
CMD ["--help"]
