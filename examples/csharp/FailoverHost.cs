// A complete host in C#, for .NET and mono: joins the cluster, is authorized at a server and backs it up, takes it over when
// it falls silent and gives it back. It drives the plugin in virtual time, so that all this takes milliseconds. A real host
// lets the plugin run its own thread: flags 0, no wake, no poll. The structs and signatures are in Abi.cs.
using System;
using System.IO;
using System.Runtime.InteropServices;
using System.Text;
using VmsFailover;

/// <summary>The host's side: the callbacks, the virtual clock, and what was begun and is not answered.</summary>
sealed class FailoverHost : IHost
{
    const ulong Second = 1000000000;
    readonly Plugin plugin;
    ulong nowNs = Second, operation; // 0 = none
    uint kind;                       // OpKind of it
    string file;                     // where a backup is to be written

    FailoverHost(Library library, string options)
    {
        plugin = new Plugin(library, this, "FailoverHost.cs", "1", Abi.HostDrives, options);
    }

    public void Log(uint level, string target, string text)
    {
        Console.Error.WriteLine("log " + level + " " + target + ": " + text);
    }

    public void Event(uint eventKind, string json)
    {
        Console.WriteLine("event " + json);
        if (eventKind == Abi.EventOperationOver) operation = 0; // a real host stops and undoes it
    }

    // Copies what it needs, works elsewhere, answers later.
    public void Begin(ulong id, uint operationKind, string json)
    {
        Console.WriteLine("begin " + json);
        operation = id;
        kind = operationKind;
        file = TextOf(json, "\"file\":\"");
    }

    public void Wake(ulong nextNs) { } // Run polls after every call anyway

    public void Release() { Console.WriteLine("released"); }

    static string TextOf(string json, string key) // a real host has a JSON reader
    {
        int at = json.IndexOf(key, StringComparison.Ordinal);
        if (at < 0) return null;
        at += key.Length;
        return json.Substring(at, json.IndexOf('"', at) - at);
    }

    // A real host logs in, revokes, takes over and restores on threads of its own.
    void Perform()
    {
        uint outcome = kind <= Abi.OpJoinCluster ? Abi.OutcomeOk : Abi.OutcomeUnsupported;
        string why = "";
        if (kind == Abi.OpBackup && !WriteArchive(file))
        {
            outcome = Abi.OutcomeFailed;
            why = "{\"error\":\"the archive cannot be written\"}";
        }
        byte[] token = kind == Abi.OpAuthorize ? Encoding.UTF8.GetBytes("session 1") : null; // comes with every later operation
        ulong answered = operation;
        operation = 0;
        plugin.Complete(answered, outcome, why, token);
    }

    static bool WriteArchive(string path)
    {
        try
        {
            using (var archive = new FileStream(path, FileMode.Create))
            {
                archive.Write(Encoding.UTF8.GetBytes("settings"), 0, 8);
                archive.Flush(true); // on disk before the host says that it is
            }
            return true;
        }
        catch (IOException) { return false; }
        catch (UnauthorizedAccessException) { return false; }
    }

    // Answers what was begun, else moves the clock to the next work.
    void Run(ulong seconds)
    {
        ulong end = nowNs + seconds * Second, next = 0;
        while (next <= end)
        {
            next = plugin.Poll(nowNs, 1767225600000 + (long)(nowNs / 1000000));
            if (operation != 0) { Perform(); next = 0; }
            else if (next > nowNs && next <= end) nowNs = next;
        }
        nowNs = end;
    }

    void Hear(ulong server, uint eventKind, ulong seconds)
    {
        plugin.Notify(server, eventKind, nowNs);
        Run(seconds);
    }

    void Prepare(ulong server) // once for all: it is kept in the state directory
    {
        byte[] password = Encoding.UTF8.GetBytes("admin:1234"); // from a person; never a string, which cannot be wiped
        plugin.JoinCluster("{\"host\":\"management.example\"}", password);
        Run(1);
        plugin.Authorize(server, password);
        Run(1);
        Array.Clear(password, 0, password.Length); // the plugin wipes its copies, the host its own
        plugin.Backup(server);
        Run(1);
    }

    void Story(string directory)
    {
        Directory.CreateDirectory(directory + "/b"); // the plugin does not: what is missing may be a mount
        plugin.Edit("{\"set\":{\"backup_directory\":\"" + directory + "/b\",\"store_path\":\"" + directory + "/v\"}}");
        plugin.Start();
        ulong server = plugin.NextServer(0); // the first of the configuration
        Prepare(server);
        plugin.Cluster(true); // at every start, and when it changes
        Run(1);
        Hear(server, Abi.NotifyConnected, 1);
        Hear(server, Abi.NotifyStartup, 1);
        for (int i = 0; i < 3; i++) Hear(server, Abi.NotifyKeepAlive, 10);
        Run(60); // silence: the server fails and is taken over
        Hear(server, Abi.NotifyStartup, 1);
        Hear(server, Abi.NotifyKeepAlive, 1);
        plugin.Restore(server);
        Run(1);
        plugin.Deauthorize(server); // when it is watched no longer
        Run(1);
        plugin.Stop(1000);
    }

    static int Main(string[] args)
    {
        try
        {
            if (args.Length != 3)
                throw new ArgumentException("usage: FailoverHost <plugin library> <configuration> <absolute scratch directory>");
            using (var library = new Library(args[0]))
            {
                Console.WriteLine("host: ABI " + Abi.Major + "." + Abi.Minor);
                Console.WriteLine("plugin: " + library.Name + " " + library.Version + ", ABI " + library.Chosen);
                string state = args[2] + "/state"; // a quote or backslash in it would need escaping in JSON
                string config = File.ReadAllText(args[1]);
                string options = "{\"schema\":1,\"state_directory\":\"" + state + "\",\"config\":" + config + "}";
                var host = new FailoverHost(library, options);
                using (host.plugin) host.Story(args[2]);
            }
            return 0;
        }
        catch (Exception problem)
        {
            Console.Error.WriteLine("failed: " + problem.Message);
            return 1;
        }
    }
}
