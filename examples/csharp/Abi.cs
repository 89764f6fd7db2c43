// What a host in C# needs of the C ABI: structs and signatures of include/vms_failover.h, and three owners. Copy this file.
// It needs no unsafe code. On .NET the library is opened by NativeLibrary, on mono, which has none, by the system's loader.
using System;
using System.Runtime.InteropServices;
using System.Text;
#if !NETCOREAPP
using System.ComponentModel;
#endif

namespace VmsFailover
{
    /// <summary>The constants of the header that a host needs first.</summary>
    public static class Abi
    {
        public const string EntrySymbol = "vmsf_plugin_entry";
        public const uint Major = 1, Minor = 0;
        public const uint HostDrives = 1;
        public const uint NotifyConnected = 1, NotifyDisconnected = 2, NotifyStartup = 3, NotifyKeepAlive = 4;
        public const uint NotifyShutdownNormal = 5, NotifyShutdownAbnormal = 6;
        public const uint EventOperationOver = 6;
        public const uint OpTakeover = 1, OpRestore = 2, OpBackup = 3, OpAuthorize = 4, OpDeauthorize = 5, OpJoinCluster = 6;
        public const uint OutcomeOk = 0, OutcomeFailed = 1, OutcomeUnsupported = 2;
        public const int Ok = 0, ErrTooSmall = -8, ErrBusy = -9, ErrTimeout = -10;
    }

    [StructLayout(LayoutKind.Sequential)]
    struct Info
    {
        public uint structSize, configSchema, statusSchema, reserved;
        public IntPtr id, name, version, build;
    }

    [StructLayout(LayoutKind.Sequential)]
    struct Handshake
    {
        public uint structSize, abiMin, abiMax, abiChosen, abiMinor, flags;
        public IntPtr info, api;
    }

    [StructLayout(LayoutKind.Sequential)]
    struct Event
    {
        public uint structSize, kind, severity, flags;
        public ulong seq, monoNs;
        public long utcMs;
        public ulong server;
        public IntPtr json;
        public UIntPtr jsonLen;
        public ulong reserved0, reserved1;
    }

    [StructLayout(LayoutKind.Sequential)]
    struct Operation
    {
        public uint structSize, kind, flags, attempt;
        public ulong id, deadlineNs, server;
        public IntPtr json;
        public UIntPtr jsonLen;
        public IntPtr secret;
        public UIntPtr secretLen;
        public ulong reserved0, reserved1;
    }

    // Cdecl is what the C header means by a function; without it a 32-bit habit of the runtime would decide.
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    delegate void LogCallback(IntPtr ctx, uint level, IntPtr target, IntPtr text, UIntPtr len);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    delegate void EventCallback(IntPtr ctx, ref Event e);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    delegate void BeginCallback(IntPtr ctx, ref Operation operation);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    delegate void WakeCallback(IntPtr ctx, ulong nextNs);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    delegate void ReleaseCallback(IntPtr ctx);

    [StructLayout(LayoutKind.Sequential)]
    struct HostTable
    {
        public uint structSize, flags;
        public IntPtr ctx, name, version;
        public LogCallback log;
        public IntPtr logLevel;
        public EventCallback onEvent;
        public BeginCallback begin;
        public WakeCallback wake;
        public ReleaseCallback release;
        public IntPtr getExtension;
        public ulong reserved0, reserved1;
    }

    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    delegate int EntryFn(ref Handshake io);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    delegate int CreateFn(ref HostTable host, byte[] json, UIntPtr len, out ulong plugin, byte[] err, UIntPtr errCap);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    delegate int PluginFn(ulong p);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    delegate int StopFn(ulong p, uint timeoutMs);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    delegate int ConfigureFn(ulong p, byte[] json, UIntPtr len, uint flags, byte[] report, UIntPtr cap, out UIntPtr reportLen);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    delegate int PollFn(ulong p, ulong nowNs, long utcMs, out ulong nextNs);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    delegate int NotifyFn(ulong p, ulong s, uint eventKind, ulong monoNs);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    delegate int NextServerFn(ulong p, ulong s, out ulong found);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    delegate int StatusFn(ulong p, ulong s, byte[] buf, UIntPtr cap, out UIntPtr len);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    delegate int LastErrorFn(ulong p, out int code, byte[] buf, UIntPtr cap, out UIntPtr len);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    delegate int ClusterFn(ulong p, uint joined, byte[] json, UIntPtr len);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    delegate int JoinFn(ulong p, byte[] json, UIntPtr len, byte[] secret, UIntPtr secretLen, out ulong req);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    delegate int AuthorizeFn(ulong p, ulong s, byte[] json, UIntPtr len, byte[] secret, UIntPtr secretLen, out ulong req);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    delegate int ServerFn(ulong p, ulong s, byte[] json, UIntPtr len, out ulong req);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    delegate int CompleteFn(ulong p, ulong op, uint outcome, byte[] json, UIntPtr len, byte[] secret, UIntPtr secretLen);
    [UnmanagedFunctionPointer(CallingConvention.Cdecl)]
    delegate IntPtr ResultNameFn(int code);

    // The table of major 1, every member in its place. A member that this file has no method for is an IntPtr: give it a
    // delegate when you need it.
    [StructLayout(LayoutKind.Sequential)]
    struct ApiTable
    {
        public uint structSize, reserved;
        public CreateFn create;
        public PluginFn start;
        public StopFn stop;
        public PluginFn destroy;
        public ConfigureFn configure, edit;
        public PollFn poll;
        public NotifyFn notify;
        public IntPtr nowNs, server;
        public NextServerFn nextServer;
        public IntPtr serverId, config;
        public StatusFn status;
        public IntPtr log, recordingsIni, progress;
        public LastErrorFn lastError;
        public ClusterFn cluster;
        public JoinFn joinCluster;
        public AuthorizeFn authorize;
        public ServerFn deauthorize, backup, takeover, restore;
        public IntPtr cancel, maintenance, drill;
        public CompleteFn complete;
        public ResultNameFn resultName;
        public IntPtr getExtension;
    }

    /// <summary>A failed call.</summary>
    public sealed class PluginException : Exception
    {
        public readonly int Code;
        public PluginException(int code, string text) : base(text) { Code = code; }
    }

    /// <summary>What a host does when it is called; any exception is caught and logged. Log may come from any thread.</summary>
    public interface IHost
    {
        void Log(uint level, string target, string text);
        void Event(uint kind, string json);
        void Begin(ulong id, uint kind, string json);
        void Wake(ulong nextNs);
        void Release();
    }

    /// <summary>A loaded plugin library, negotiated with; closed once no Plugin needs it any more.</summary>
    public sealed class Library : SafeHandle
    {
        internal readonly ApiTable Api;
        public readonly string Name, Version, Chosen; // the last is the ABI's "major.minor"

        public Library(string path) : base(IntPtr.Zero, true)
        {
            SetHandle(Loader.Open(path));
            IntPtr symbol = Loader.Symbol(handle, Abi.EntrySymbol);
            if (symbol == IntPtr.Zero)
                throw new PluginException(0, "not a vms-failover plugin, it has no " + Abi.EntrySymbol + ": " + path);
            var entry = (EntryFn)Marshal.GetDelegateForFunctionPointer(symbol, typeof(EntryFn));
            uint size = (uint)Marshal.SizeOf(typeof(Handshake));
            var shake = new Handshake { structSize = size, abiMin = Abi.Major, abiMax = Abi.Major };
            int result = entry(ref shake);
            if (shake.info == IntPtr.Zero) throw new PluginException(result, "the plugin does not say who it is");
            var info = (Info)Marshal.PtrToStructure(shake.info, typeof(Info));
            Name = Text.From(info.name);
            Version = Text.From(info.version);
            if (result != Abi.Ok) throw new PluginException(result, "no common ABI major with " + Name + " " + Version);
            Chosen = shake.abiChosen + "." + shake.abiMinor;
            Api = (ApiTable)Marshal.PtrToStructure(shake.api, typeof(ApiTable));
        }

        public override bool IsInvalid { get { return handle == IntPtr.Zero; } }
        protected override bool ReleaseHandle() { return Loader.Close(handle); }
    }

    /// <summary>
    /// An instance of the plugin. Dispose stops and destroys it, once; not from a callback, and before the process exits. Its
    /// handle is a checked number: a call that comes too late is VMSF_ERR_HANDLE.
    /// </summary>
    public sealed class Plugin : SafeHandle
    {
        readonly Library library;
        // Kept from the garbage collector until `release`: the plugin calls them, and no managed code refers to them.
        readonly LogCallback onLog;
        readonly EventCallback onEvent;
        readonly BeginCallback onBegin;
        readonly WakeCallback onWake;
        readonly ReleaseCallback onRelease;
        GCHandle self;

        public Plugin(Library library, IHost host, string name, string version, uint flags, string options)
            : base(IntPtr.Zero, true)
        {
            this.library = library;
            onLog = (ctx, level, target, text, len) =>
                Guard(() => host.Log(level, Text.From(target), Text.From(text, len)));
            onEvent = (IntPtr ctx, ref Event e) =>
            {
                var copy = e; // a ref cannot go into a lambda
                Guard(() => host.Event(copy.kind, Text.From(copy.json, copy.jsonLen)));
            };
            onBegin = (IntPtr ctx, ref Operation op) =>
            {
                var copy = op; // not the secret: it is a pointer, valid until the callback returns
                Guard(() => host.Begin(copy.id, copy.kind, Text.From(copy.json, copy.jsonLen)));
            };
            onWake = (ctx, nextNs) => Guard(() => host.Wake(nextNs));
            onRelease = ctx => { Guard(host.Release); self.Free(); };
            Create(name, version, flags, options);
        }

        void Create(string name, string version, uint flags, string options)
        {
            bool counted = false;
            library.DangerousAddRef(ref counted); // the library stays until ReleaseHandle, whoever disposes of it before
            self = GCHandle.Alloc(this); // and this object, with its delegates, until `release`
            IntPtr cName = Text.ToC(name), cVersion = Text.ToC(version);
            var table = new HostTable
            {
                structSize = (uint)Marshal.SizeOf(typeof(HostTable)), flags = flags, name = cName, version = cVersion,
                log = onLog, onEvent = onEvent, begin = onBegin, wake = (flags & Abi.HostDrives) != 0 ? onWake : null,
                release = onRelease
            };
            byte[] json = Text.Bytes(options), err = new byte[4097];
            ulong plugin;
            int result = library.Api.create(ref table, json, Text.Len(json), out plugin, err, Text.Len(err));
            Marshal.FreeHGlobal(cName); // everything was copied
            Marshal.FreeHGlobal(cVersion);
            if (result == Abi.Ok) { SetHandle(new IntPtr((long)plugin)); return; }
            self.Free(); // `release` does not come
            library.DangerousRelease();
            throw new PluginException(result, NameOf(result) + ": " + Text.From(err));
        }

        ulong P { get { return (ulong)handle.ToInt64(); } }

        public override bool IsInvalid { get { return handle == IntPtr.Zero; } }

        protected override bool ReleaseHandle()
        {
            while (library.Api.stop(P, 1000) == Abi.ErrTimeout) { }
            bool destroyed = library.Api.destroy(P) == Abi.Ok;
            library.DangerousRelease();
            return destroyed;
        }

        // An exception must not leave a callback: on .NET it would end the process, on mono unwind through foreign frames.
        void Guard(Action call)
        {
            try { call(); }
            catch (Exception problem) { Console.Error.WriteLine("a callback threw: " + problem); }
        }

        public void Start() { Check(library.Api.start(P)); }
        public void Stop(uint timeoutMs) { Check(library.Api.stop(P, timeoutMs)); }

        public void Edit(string json)
        {
            byte[] text = Text.Bytes(json);
            UIntPtr len;
            Check(library.Api.edit(P, text, Text.Len(text), 0, new byte[65537], new UIntPtr(65537), out len));
        }

        public ulong Poll(ulong nowNs, long utcMs)
        {
            ulong next;
            Check(library.Api.poll(P, nowNs, utcMs, out next));
            return next;
        }

        /// <summary>False: the server's list is full, only the newest stamp is kept.</summary>
        public bool Notify(ulong server, uint eventKind, ulong monoNs)
        {
            int result = library.Api.notify(P, server, eventKind, monoNs);
            if (result == Abi.ErrBusy) return false;
            Check(result);
            return true;
        }

        public ulong NextServer(ulong server)
        {
            ulong found;
            Check(library.Api.nextServer(P, server, out found));
            return found;
        }

        /// <summary>The status of a server, or of all: 0.</summary>
        public string Status(ulong server)
        {
            for (int cap = 4096; ;)
            {
                byte[] buf = new byte[cap];
                UIntPtr len;
                int result = library.Api.status(P, server, buf, Text.Len(buf), out len);
                if (result != Abi.ErrTooSmall) { Check(result); return Text.From(buf); }
                cap = checked((int)len + (int)len / 8 + 1); // it may grow between two calls
            }
        }

        public void Cluster(bool joined) { Check(library.Api.cluster(P, joined ? 1u : 0u, null, UIntPtr.Zero)); }

        public ulong JoinCluster(string json, byte[] credentials)
        {
            byte[] text = Text.Bytes(json);
            ulong req;
            Check(library.Api.joinCluster(P, text, Text.Len(text), credentials, Text.Len(credentials), out req));
            return req;
        }

        public ulong Authorize(ulong server, byte[] credentials)
        {
            ulong req;
            Check(library.Api.authorize(P, server, null, UIntPtr.Zero, credentials, Text.Len(credentials), out req));
            return req;
        }

        public ulong Deauthorize(ulong server) { return Call(library.Api.deauthorize, server); }
        public ulong Backup(ulong server) { return Call(library.Api.backup, server); }
        public ulong Takeover(ulong server) { return Call(library.Api.takeover, server); }
        public ulong Restore(ulong server) { return Call(library.Api.restore, server); }

        public void Complete(ulong operation, uint outcome, string json, byte[] token)
        {
            byte[] text = Text.Bytes(json);
            Check(library.Api.complete(P, operation, outcome, text, Text.Len(text), token, Text.Len(token)));
        }

        ulong Call(ServerFn member, ulong server)
        {
            ulong req;
            Check(member(P, server, null, UIntPtr.Zero, out req));
            return req;
        }

        void Check(int result)
        {
            if (result == Abi.Ok) return;
            byte[] text = new byte[4097];
            int code;
            UIntPtr len;
            library.Api.lastError(P, out code, text, Text.Len(text), out len);
            throw new PluginException(result, NameOf(result) + (code == result ? ": " + Text.From(text) : ""));
        }

        string NameOf(int result) { return Text.From(library.Api.resultName(result)); }
    }

    /// <summary>UTF-8 in and out; the runtime's own marshalling of strings is not UTF-8 everywhere.</summary>
    static class Text
    {
        public static byte[] Bytes(string text) { return Encoding.UTF8.GetBytes(text); }
        public static UIntPtr Len(byte[] bytes) { return new UIntPtr((ulong)(bytes == null ? 0 : bytes.Length)); }

        public static IntPtr ToC(string text)
        {
            byte[] bytes = Bytes(text + "\0");
            IntPtr copy = Marshal.AllocHGlobal(bytes.Length);
            Marshal.Copy(bytes, 0, copy, bytes.Length);
            return copy;
        }

        public static string From(byte[] terminated)
        {
            int end = Array.IndexOf(terminated, (byte)0);
            return Encoding.UTF8.GetString(terminated, 0, end < 0 ? terminated.Length : end);
        }

        public static string From(IntPtr terminated)
        {
            ulong len = 0;
            while (Marshal.ReadByte(terminated, (int)len) != 0) len++;
            return From(terminated, new UIntPtr(len));
        }

        public static string From(IntPtr text, UIntPtr len)
        {
            byte[] bytes = new byte[(int)len];
            Marshal.Copy(text, bytes, 0, bytes.Length);
            return Encoding.UTF8.GetString(bytes);
        }
    }

    /// <summary>Opens libraries.</summary>
    static class Loader
    {
#if NETCOREAPP
        public static IntPtr Open(string path)
        {
            try { return NativeLibrary.Load(path); }
            catch (Exception problem) { throw new PluginException(0, "the plugin does not load: " + problem.Message); }
        }
        public static IntPtr Symbol(IntPtr library, string name)
        {
            IntPtr symbol;
            return NativeLibrary.TryGetExport(library, name, out symbol) ? symbol : IntPtr.Zero;
        }
        public static bool Close(IntPtr library)
        {
            NativeLibrary.Free(library);
            return true;
        }
#else
        [DllImport("libdl.so.2")] static extern IntPtr dlopen(string path, int flags);
        [DllImport("libdl.so.2")] static extern IntPtr dlsym(IntPtr library, string name);
        [DllImport("libdl.so.2")] static extern int dlclose(IntPtr library);
        [DllImport("libdl.so.2")] static extern IntPtr dlerror();
        [DllImport("kernel32", SetLastError = true, CharSet = CharSet.Unicode)] static extern IntPtr LoadLibraryW(string path);
        [DllImport("kernel32", CharSet = CharSet.Ansi)] static extern IntPtr GetProcAddress(IntPtr library, string name);
        [DllImport("kernel32")] static extern bool FreeLibrary(IntPtr library);

        static bool IsWindows { get { return Environment.OSVersion.Platform == PlatformID.Win32NT; } }

        public static IntPtr Open(string path)
        {
            const int now = 2; // RTLD_NOW; RTLD_LOCAL is 0
            IntPtr library = IsWindows ? LoadLibraryW(path) : dlopen(path, now);
            if (library != IntPtr.Zero) return library;
            string why = IsWindows ? new Win32Exception(Marshal.GetLastWin32Error()).Message : Text.From(dlerror());
            throw new PluginException(0, "the plugin does not load: " + path + ": " + why);
        }
        public static IntPtr Symbol(IntPtr library, string name)
        {
            return IsWindows ? GetProcAddress(library, name) : dlsym(library, name);
        }
        public static bool Close(IntPtr library) { return IsWindows ? FreeLibrary(library) : dlclose(library) == 0; }
#endif
    }
}
