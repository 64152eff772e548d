-- SPDX-License-Identifier: BSD-3-Clause
--
-- Wireshark dissector of vhost-user, for captures of vhushmem-probe (link type USER0). To use it:
--   wireshark -X lua_script:vhost-user.lua FILE
-- or put it into Wireshark's folder of personal plugins. A packet is a message behind the header that tools/probe-capture.c describes.

local proto = Proto("vhost_user", "vhost-user")

local frontend_requests = {
    [1] = "GET_FEATURES",
    [2] = "SET_FEATURES",
    [3] = "SET_OWNER",
    [4] = "RESET_OWNER",
    [5] = "SET_MEM_TABLE",
    [6] = "SET_LOG_BASE",
    [7] = "SET_LOG_FD",
    [8] = "SET_VRING_NUM",
    [9] = "SET_VRING_ADDR",
    [10] = "SET_VRING_BASE",
    [11] = "GET_VRING_BASE",
    [12] = "SET_VRING_KICK",
    [13] = "SET_VRING_CALL",
    [14] = "SET_VRING_ERR",
    [15] = "GET_PROTOCOL_FEATURES",
    [16] = "SET_PROTOCOL_FEATURES",
    [17] = "GET_QUEUE_NUM",
    [18] = "SET_VRING_ENABLE",
    [19] = "SEND_RARP",
    [20] = "NET_SET_MTU",
    [21] = "SET_BACKEND_REQ_FD",
    [22] = "IOTLB_MSG",
    [23] = "SET_VRING_ENDIAN",
    [24] = "GET_CONFIG",
    [25] = "SET_CONFIG",
    [31] = "GET_INFLIGHT_FD",
    [32] = "SET_INFLIGHT_FD",
    [33] = "GPU_SET_SOCKET",
    [34] = "RESET_DEVICE",
    [35] = "VRING_KICK",
    [36] = "GET_MAX_MEM_SLOTS",
    [37] = "ADD_MEM_REG",
    [38] = "REM_MEM_REG",
    [39] = "SET_STATUS",
    [40] = "GET_STATUS",
    [41] = "GET_SHARED_OBJECT",
    [42] = "SET_DEVICE_STATE_FD",
    [43] = "CHECK_DEVICE_STATE",
    [44] = "GET_SHMEM_CONFIG",
    [45] = "GET_VRING_BASE_SKIP_DRAIN",
}
local backend_requests = {
    [1] = "IOTLB_MSG",
    [2] = "CONFIG_CHANGE_MSG",
    [3] = "VRING_HOST_NOTIFIER_MSG",
    [4] = "VRING_CALL",
    [5] = "VRING_ERR",
    [6] = "SHARED_OBJECT_ADD",
    [7] = "SHARED_OBJECT_REMOVE",
    [8] = "SHARED_OBJECT_LOOKUP",
    [9] = "SHMEM_MAP",
    [10] = "SHMEM_UNMAP",
}
local fd_kinds = {[0] = "other", "eventfd", "socket", "memfd", "file", "pipe"}

local f = {}
local function field(name, make, title, ...)
    f[name] = make("vhost_user." .. name, title, ...)
    table.insert(proto.fields, f[name])
end

field("from_backend", ProtoField.bool, "From the back-end")
field("channel", ProtoField.bool, "On the back-end channel")
field("fds", ProtoField.uint8, "Descriptors")
field("fd_kind", ProtoField.uint8, "Descriptor", base.DEC, fd_kinds)
field("fd_size", ProtoField.uint64, "Size of its file")
field("request", ProtoField.uint32, "Request")
field("name", ProtoField.string, "Name")
field("flags", ProtoField.uint32, "Flags", base.HEX)
field("version", ProtoField.uint32, "Version", base.DEC, nil, 0x3)
field("reply", ProtoField.bool, "Reply", 32, nil, 0x4)
field("need_reply", ProtoField.bool, "Needs a reply", 32, nil, 0x8)
field("size", ProtoField.uint32, "Size of the payload")
field("value", ProtoField.uint64, "Value", base.HEX)
field("result", ProtoField.int64, "Result")
field("queue", ProtoField.uint32, "Queue")
field("number", ProtoField.uint32, "Number")
field("has_fd", ProtoField.bool, "Has a descriptor")
field("vring_flags", ProtoField.uint32, "Flags of the ring", base.HEX)
field("desc", ProtoField.uint64, "Descriptor table", base.HEX)
field("used", ProtoField.uint64, "Used ring", base.HEX)
field("avail", ProtoField.uint64, "Available ring", base.HEX)
field("log", ProtoField.uint64, "Log", base.HEX)
field("regions", ProtoField.uint32, "Regions")
field("guest_addr", ProtoField.uint64, "Guest address", base.HEX)
field("memory_size", ProtoField.uint64, "Size", base.HEX)
field("user_addr", ProtoField.uint64, "User address", base.HEX)
field("mmap_offset", ProtoField.uint64, "Offset in the file", base.HEX)
field("offset", ProtoField.uint32, "Offset", base.HEX)
field("len", ProtoField.uint64, "Length", base.HEX)
field("config_flags", ProtoField.uint32, "Flags", base.HEX)
field("bytes", ProtoField.bytes, "Bytes")
field("mmap_size", ProtoField.uint64, "Size of the area", base.HEX)
field("num_queues", ProtoField.uint16, "Queues")
field("queue_size", ProtoField.uint16, "Size of a queue")
field("direction", ProtoField.uint32, "Direction", base.DEC, {[0] = "save", "load"})
field("phase", ProtoField.uint32, "Phase")
field("shmid", ProtoField.uint32, "Shared memory region")
field("region_size", ProtoField.uint64, "Size of the region", base.HEX)
field("fd_offset", ProtoField.uint64, "Offset in the file", base.HEX)
field("shm_offset", ProtoField.uint64, "Offset in the region", base.HEX)
field("map_flags", ProtoField.uint64, "Flags of the mapping", base.HEX)
field("rw", ProtoField.bool, "Read-write")
field("iova", ProtoField.uint64, "I/O virtual address", base.HEX)
field("iotlb_size", ProtoField.uint64, "Size of the translation", base.HEX)
field("perm", ProtoField.uint8, "Access", base.DEC, {[0] = "none", "read", "write", "read and write"})
field("iotlb_type", ProtoField.uint8, "Kind of IOTLB message", base.DEC, {"miss", "update", "invalidate", "access failed"})
field("area_size", ProtoField.uint64, "Size of the area", base.HEX)
field("area_offset", ProtoField.uint64, "Offset of the area", base.HEX)
field("uuid", ProtoField.bytes, "UUID")
field("payload", ProtoField.bytes, "Payload")

local malformed = ProtoExpert.new("vhost_user.malformed", "The payload is not laid out as this request's", expert.group.MALFORMED,
                                  expert.severity.WARN)
proto.experts = {malformed}

-- Each layout takes the payload, adds its fields, and returns how many bytes it has named; nil: it does not fit.

local function numbers(...)
    local parts = {...}
    return function(tree, payload)
        local at = 0
        for i = 1, #parts, 2 do
            if payload:len() < at + parts[i + 1] then
                return nil
            end
            if parts[i] ~= "" then
                tree:add_le(f[parts[i]], payload(at, parts[i + 1]))
            end
            at = at + parts[i + 1]
        end
        return at
    end
end

local function nothing()
    return 0
end

local function bytes(tree, payload)
    if payload:len() > 0 then
        tree:add(f.bytes, payload())
    end
    return payload:len()
end

local value = numbers("value", 8)
local vring_state = numbers("queue", 4, "number", 4)
local inflight_fixed = numbers("mmap_size", 8, "mmap_offset", 8, "num_queues", 2, "queue_size", 2)
local memory_region = numbers("guest_addr", 8, "memory_size", 8, "user_addr", 8, "mmap_offset", 8)
local mmap_fixed = numbers("shmid", 1, "", 7, "fd_offset", 8, "shm_offset", 8, "len", 8, "map_flags", 8)

local function vring_fd(tree, payload)
    if payload:len() < 8 then
        return nil
    end
    tree:add(f.queue, payload(0, 8), payload(0, 1):uint())
    tree:add(f.has_fd, payload(0, 8), payload(1, 1):uint() % 2 == 0)
    return 8
end

local function memory_table(tree, payload)
    if payload:len() < 8 then
        return nil
    end
    local count = payload(0, 4):le_uint()
    tree:add_le(f.regions, payload(0, 4))
    if count > 4096 or payload:len() < 8 + 32 * count then
        return nil
    end
    for i = 0, count - 1 do
        memory_region(tree, payload(8 + 32 * i, 32))
    end
    return 8 + 32 * count
end

local function one_memory_region(tree, payload)
    if payload:len() < 40 then
        return nil
    end
    return 8 + memory_region(tree, payload(8))
end

local function config(tree, payload)
    if payload:len() < 12 then
        return nil
    end
    tree:add_le(f.offset, payload(0, 4))
    tree:add(f.len, payload(4, 4), UInt64(payload(4, 4):le_uint()))
    tree:add_le(f.config_flags, payload(8, 4))
    if payload:len() > 12 then
        tree:add(f.bytes, payload(12))
    end
    return payload:len()
end

local function inflight(tree, payload)
    return inflight_fixed(tree, payload) and payload:len() -- some pad it
end

local function shmem_config(tree, payload)
    if payload:len() < 2056 then
        return nil
    end
    tree:add_le(f.regions, payload(0, 4))
    for shmid = 0, 255 do
        local size = payload(8 + 8 * shmid, 8)
        if size:le_uint64() ~= UInt64(0) then
            tree:add(f.shmid, size, shmid)
            tree:add_le(f.region_size, size)
        end
    end
    return 2056
end

local function mmap(tree, payload)
    local named = mmap_fixed(tree, payload)
    if named then
        tree:add(f.rw, payload(32, 8), payload(32, 1):uint() % 2 == 1)
    end
    return named
end

local function uuid(tree, payload)
    if payload:len() < 16 then
        return nil
    end
    tree:add(f.uuid, payload(0, 16))
    return 16
end

local function result(tree, payload)
    if payload:len() < 8 then
        return nil
    end
    tree:add_le(f.result, payload(0, 8))
    return 8
end

local log_file = numbers("mmap_size", 8, "mmap_offset", 8)
local function log(tree, payload)
    return payload:len() == 8 and value(tree, payload) or log_file(tree, payload)
end

local iotlb = numbers("iova", 8, "iotlb_size", 8, "user_addr", 8, "perm", 1, "iotlb_type", 1, "", 6)
local area_fixed = numbers("area_size", 8, "area_offset", 8)
local function area(tree, payload)
    if payload:len() < 24 then
        return nil
    end
    return vring_fd(tree, payload) + area_fixed(tree, payload(8):tvb())
end

local device_state = numbers("direction", 4, "phase", 4)
local vring_addr = numbers("queue", 4, "vring_flags", 4, "desc", 8, "used", 8, "avail", 8, "log", 8)

-- {layout of the request, layout of its own reply (nil: an acknowledgement)}; what is missing here has no payload.
local frontend_layouts = {
    [1] = {nothing, value}, [2] = {value}, [5] = {memory_table}, [6] = {log, value}, [8] = {vring_state}, [9] = {vring_addr},
    [10] = {vring_state}, [11] = {vring_state, vring_state}, [12] = {vring_fd}, [13] = {vring_fd}, [14] = {vring_fd},
    [15] = {nothing, value}, [16] = {value}, [17] = {nothing, value}, [18] = {vring_state}, [19] = {value}, [20] = {value},
    [22] = {iotlb}, [23] = {vring_state}, [24] = {config, config}, [25] = {config}, [31] = {inflight, inflight}, [32] = {inflight},
    [35] = {vring_state}, [36] = {nothing, value}, [37] = {one_memory_region}, [38] = {one_memory_region}, [39] = {value},
    [40] = {nothing, value}, [41] = {uuid, uuid}, [42] = {device_state, value}, [43] = {nothing, value}, [44] = {nothing, shmem_config},
    [45] = {vring_state, vring_state},
}
local backend_layouts = {
    [1] = {iotlb}, [3] = {area}, [4] = {vring_state}, [5] = {vring_state}, [6] = {uuid}, [7] = {uuid}, [8] = {uuid}, [9] = {mmap},
    [10] = {mmap},
}

function proto.dissector(buffer, pinfo, root)
    if buffer:len() < 20 or buffer(0, 1):uint() ~= 1 then
        return 0
    end
    local flags, nfds = buffer(1, 1):uint(), buffer(2, 1):uint()
    local from_backend, on_channel = flags % 2 == 1, flags >= 2
    local at = 8 + 16 * nfds
    if buffer:len() < at + 12 then
        return 0
    end
    local tree = root:add(proto, buffer())
    tree:add(f.from_backend, buffer(1, 1), from_backend)
    tree:add(f.channel, buffer(1, 1), on_channel)
    tree:add(f.fds, buffer(2, 1))
    for i = 0, nfds - 1 do
        tree:add(f.fd_kind, buffer(8 + 16 * i, 1))
        tree:add_le(f.fd_size, buffer(16 + 16 * i, 8))
    end

    local id, header_flags = buffer(at, 4):le_uint(), buffer(at + 4, 4):le_uint()
    local name = (on_channel and backend_requests or frontend_requests)[id]
    local is_reply = math.floor(header_flags / 4) % 2 == 1
    tree:add_le(f.request, buffer(at, 4))
    tree:add(f.name, buffer(at, 4), name or "?")
    tree:add_le(f.flags, buffer(at + 4, 4))
    tree:add_le(f.version, buffer(at + 4, 4))
    tree:add_le(f.reply, buffer(at + 4, 4))
    tree:add_le(f.need_reply, buffer(at + 4, 4))
    tree:add_le(f.size, buffer(at + 8, 4))

    local length = buffer:len() - at - 12
    local payload = length > 0 and buffer(at + 12, length):tvb() or ByteArray.new(""):tvb("payload")
    local layouts = (on_channel and backend_layouts or frontend_layouts)[id] or {}
    local layout = is_reply and (layouts[2] or result) or layouts[1] or nothing
    if name == nil then
        layout = bytes
    end
    local named = layout(tree, payload)
    if named ~= length then
        if length > 0 then
            tree:add(f.payload, buffer(at + 12, length))
        end
        tree:add_proto_expert_info(malformed)
    end

    pinfo.cols.protocol = on_channel and "vhost-user channel" or "vhost-user"
    pinfo.cols.src = from_backend and "back-end" or "front-end"
    pinfo.cols.dst = from_backend and "front-end" or "back-end"
    pinfo.cols.info = (name or ("request " .. id)) .. (is_reply and " reply" or "")
    return buffer:len()
end

DissectorTable.get("wtap_encap"):add(wtap.USER0, proto)
